//! WebSocket: handshake, one text message, its answer.

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::{self, Message};

use super::{Answer, Probe, ProbeError, Target};

/// Sends the data as a text message and waits for a message.
pub(super) async fn exchange<S>(probe: &Probe, target: &Target, stream: S) -> Result<Answer, ProbeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let failed = |error: tungstenite::Error| ProbeError::Failed(error.to_string());
    let usage = |text: &str| ProbeError::Usage(format!("{text} is no header"));
    let mut request =
        format!("ws://{}{}", target.authority(), target.path).into_client_request().map_err(failed)?;
    for (name, value) in &probe.headers {
        let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| usage(name))?;
        request.headers_mut().insert(header, HeaderValue::from_str(value).map_err(|_| usage(value))?);
    }
    let (mut socket, response) = tokio_tungstenite::client_async(request, stream).await.map_err(failed)?;
    let data = probe.data.clone().unwrap_or_else(|| "hello".to_owned());
    socket.send(Message::text(data)).await.map_err(failed)?;
    let message = match socket.next().await {
        Some(message) => message.map_err(failed)?,
        None => return Err(ProbeError::Failed("the socket was closed without a message".to_owned())),
    };
    // The exchange is over either way.
    _ = socket.close(None).await;
    Ok(Answer {
        status: format!("{:?} {}", response.version(), response.status()),
        headers: response
            .headers()
            .iter()
            .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect(),
        body: format!("{message}\n"),
        success: true,
    })
}
