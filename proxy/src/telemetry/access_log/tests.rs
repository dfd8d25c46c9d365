//! What a line of the access log looks like.

use std::fs;
use std::net::SocketAddr;
use std::time::UNIX_EPOCH;

use super::*;
use crate::telemetry::flags::Flags;

fn address(text: &str) -> Option<SocketAddr> {
    Some(text.parse().unwrap())
}

fn entry() -> LogEntry<'static> {
    LogEntry {
        route: Some("shop/cart/0"),
        method: Some("GET"),
        path: Some(b"/a?b=\"c\r\nfake"),
        protocol: Some("HTTP/2"),
        status: 503,
        flags: Flags::UPSTREAM_CONNECTION_FAILURE | Flags::RETRY_LIMIT,
        status_details: Some("upstream_reset"),
        bytes_sent: 91,
        upstream_time: Some(Duration::from_millis(7)),
        user_agent: Some(b"\x1b[31mcurl"),
        authority: Some(b"shop.example:8080"),
        upstream_address: address("10.0.0.1:80"),
        backend: Some("service/shop/cart/80"),
        local_address: address("[::1]:443"),
        remote_address: address("192.0.2.1:9999"),
        shed_reason: Some("overload"),
        retries: 2,
        ..LogEntry::new(UNIX_EPOCH + Duration::from_millis(1_606_339_578_409), Duration::from_micros(12_900))
    }
}

#[test]
fn json_has_istios_fields_in_its_order() {
    let mut line = Vec::new();
    json::write(&mut line, &mut Clock::default(), &entry());
    let expected = concat!(
        r#"{"start_time":"2020-11-25T21:26:18.409Z","route_name":"shop/cart/0","method":"GET","#,
        r#""path":"/a?b=\"c\r\nfake","protocol":"HTTP/2","response_code":503,"response_flags":"UF,URX","#,
        r#""response_code_details":"upstream_reset","connection_termination_details":null,"#,
        r#""upstream_transport_failure_reason":null,"bytes_received":0,"bytes_sent":91,"duration":12,"#,
        r#""upstream_service_time":7,"x_forwarded_for":null,"user_agent":"\u001b[31mcurl","request_id":null,"#,
        r#""authority":"shop.example:8080","upstream_host":"10.0.0.1:80","#,
        r#""upstream_cluster":"service/shop/cart/80","upstream_local_address":null,"#,
        r#""downstream_local_address":"[::1]:443","downstream_remote_address":"192.0.2.1:9999","#,
        r#""requested_server_name":null,"shed_reason":"overload","retries":2}"#,
        "\n"
    );
    assert_eq!(String::from_utf8(line).unwrap(), expected);
}

#[test]
fn text_has_envoys_order() {
    let mut line = Vec::new();
    text::write(&mut line, &mut Clock::default(), &entry());
    let expected = concat!(
        r#"[2020-11-25T21:26:18.409Z] "GET /a?b=\x22c\x0d\x0afake HTTP/2" 503 UF,URX upstream_reset - "-" "#,
        r#"0 91 12 7 "-" "\x1b[31mcurl" "-" "shop.example:8080" "10.0.0.1:80" service/shop/cart/80 "#,
        "- [::1]:443 192.0.2.1:9999 - shop/cart/0\n"
    );
    assert_eq!(String::from_utf8(line).unwrap(), expected);
}

#[test]
fn every_line_reaches_the_file_and_survives_rotation() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.log");
    let log = AccessLog::start(AccessLogTarget::File(path.clone()), 2).unwrap();
    let cores = [log.core(0), log.core(1)];
    for core in &cores {
        for _ in 0..100 {
            core.emit(&entry());
        }
    }
    log.flush(Duration::from_secs(10));
    let rotated = directory.path().join("access.log.1");
    fs::rename(&path, &rotated).unwrap();
    log.reopen();
    log.set_format(AccessLogFormat::Text);
    cores[0].emit(&entry());
    log.flush(Duration::from_secs(10));

    let old = fs::read_to_string(rotated).unwrap();
    assert_eq!(old.lines().count(), 200);
    for line in old.lines() {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(value["response_code"], 503);
    }
    let new = fs::read_to_string(path).unwrap();
    assert!(new.starts_with("[2020-") && new.lines().count() == 1, "{new}");
    assert_eq!(log.dropped(), 0);
}

#[test]
fn full_buffer_drops_and_counts_instead_of_waiting() {
    // Without its writer thread a buffer is never emptied.
    let shared = Arc::new(Shared::new(AccessLogTarget::Stdout, 1));
    let log = AccessLog { shared };
    let core = log.core(0);
    for _ in 0..10_000 {
        core.emit(&entry());
    }
    assert!(log.dropped() > 5_000, "{}", log.dropped());
}

#[test]
fn off_writes_nothing() {
    let log = AccessLog::off();
    assert!(!log.core(0).enabled());
    log.core(0).emit(&entry());
    log.flush(Duration::from_secs(1));
    assert_eq!(log.dropped(), 0);
}
