//! A client for the admin interface of a running gateway.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::exit::Failure;

/// GETs a path and returns the body of a 200.
pub(crate) fn get(address: SocketAddr, path: &str) -> Result<String, Failure> {
    ask(address, "GET", path)
}

/// POSTs to a path and returns the body of a 200. The extra field is one that no web page can send.
pub(crate) fn post(address: SocketAddr, path: &str) -> Result<String, Failure> {
    ask(address, "POST", path)
}

fn ask(address: SocketAddr, method: &str, path: &str) -> Result<String, Failure> {
    let unreachable =
        |error: std::io::Error| Failure::Unreachable(format!("admin interface {address}: {error}"));
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).map_err(unreachable)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(unreachable)?;
    // HTTP/1.0: the answer ends with the connection.
    let fields =
        format!("Host: {address}\r\nAccept: application/json\r\nx-diolkos: 1\r\nContent-Length: 0\r\n");
    write!(stream, "{method} {path} HTTP/1.0\r\n{fields}\r\n").map_err(unreachable)?;
    let mut reader = BufReader::new(stream);
    let mut status = String::new();
    reader.read_line(&mut status).map_err(unreachable)?;
    let mut line = String::new();
    while reader.read_line(&mut line).map_err(unreachable)? > 2 {
        line.clear();
    }
    let mut body = String::new();
    reader.read_to_string(&mut body).map_err(unreachable)?;
    if status.split(' ').nth(1) != Some("200") {
        let status = status.trim_end();
        return Err(Failure::Unreachable(format!(
            "admin interface {address}{path}: {status}: {}",
            body.trim()
        )));
    }
    Ok(body)
}

const PATIENCE: Duration = Duration::from_secs(5);
