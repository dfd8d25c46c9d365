//! A listener's datagram socket: knows which of its addresses a client sent to, and answers from that one.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;

use nix::libc;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg, setsockopt, sockopt,
};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use super::table::SessionKey;

/// A bound socket.
#[derive(Debug)]
pub struct DatagramSocket {
    socket: UdpSocket,
    address: SocketAddr,
    /// Bound to no address in particular: the kernel would choose the reply's source by its routes alone.
    wildcard: bool,
}

impl DatagramSocket {
    /// Takes over a bound, non-blocking socket.
    ///
    /// # Errors
    /// The socket is not bound, or the kernel does not tell destination addresses.
    pub fn new(socket: std::net::UdpSocket) -> io::Result<Self> {
        let address = socket.local_addr()?;
        let wildcard = address.ip().is_unspecified();
        if wildcard {
            if address.is_ipv4() {
                setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
            } else {
                setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
            }
        }
        Ok(Self { socket: UdpSocket::from_std(socket)?, address, wildcard })
    }

    /// Where it is bound.
    pub fn local_address(&self) -> SocketAddr {
        self.address
    }

    /// Waits for a datagram.
    pub(super) async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await
    }

    /// Takes a datagram: its length, who sent it and to which of our addresses.
    pub(super) fn try_receive(&self, bytes: &mut [u8]) -> io::Result<(usize, SessionKey)> {
        if !self.wildcard {
            let (length, client) = self.socket.try_recv_from(bytes)?;
            return Ok((length, (client, None).into()));
        }
        self.socket.try_io(Interest::READABLE, || {
            let mut slices = [IoSliceMut::new(bytes)];
            let mut control = nix::cmsg_space!(libc::in6_pktinfo);
            let descriptor = self.socket.as_raw_fd();
            let flags = MsgFlags::MSG_DONTWAIT;
            let message = recvmsg::<SockaddrStorage>(descriptor, &mut slices, Some(&mut control), flags)?;
            let client = message.address.as_ref().and_then(socket_address);
            let client = client.ok_or(io::ErrorKind::InvalidData)?;
            let local = message.cmsgs()?.find_map(|message| destination(&message));
            Ok((message.bytes, (client, local).into()))
        })
    }

    /// Sends a reply from the address that the client sent to.
    pub(super) fn try_reply(&self, bytes: &[u8], key: &SessionKey) -> io::Result<usize> {
        let Some(local) = key.local else { return self.socket.try_send_to(bytes, key.client) };
        self.socket.try_io(Interest::WRITABLE, || {
            let client = SockaddrStorage::from(key.client);
            let (descriptor, slices) = (self.socket.as_raw_fd(), [IoSlice::new(bytes)]);
            let flags = MsgFlags::MSG_DONTWAIT;
            let sent = match local {
                IpAddr::V4(local) => {
                    let info = libc::in_pktinfo {
                        ipi_ifindex: 0,
                        ipi_spec_dst: libc::in_addr { s_addr: u32::from_ne_bytes(local.octets()) },
                        ipi_addr: libc::in_addr { s_addr: 0 },
                    };
                    sendmsg(
                        descriptor,
                        &slices,
                        &[ControlMessage::Ipv4PacketInfo(&info)],
                        flags,
                        Some(&client),
                    )
                }
                IpAddr::V6(local) => {
                    let address = libc::in6_addr { s6_addr: local.octets() };
                    let info = libc::in6_pktinfo { ipi6_ifindex: 0, ipi6_addr: address };
                    sendmsg(
                        descriptor,
                        &slices,
                        &[ControlMessage::Ipv6PacketInfo(&info)],
                        flags,
                        Some(&client),
                    )
                }
            };
            Ok(sent?)
        })
    }
}

fn destination(message: &ControlMessageOwned) -> Option<IpAddr> {
    match message {
        ControlMessageOwned::Ipv4PacketInfo(info) => {
            Some(Ipv4Addr::from(info.ipi_addr.s_addr.to_ne_bytes()).into())
        }
        ControlMessageOwned::Ipv6PacketInfo(info) => Some(Ipv6Addr::from(info.ipi6_addr.s6_addr).into()),
        _ => None,
    }
}

fn socket_address(address: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(address) = address.as_sockaddr_in() {
        return Some(SocketAddr::new(address.ip().into(), address.port()));
    }
    // The scope matters: a link-local client is not reached without it.
    let address = address.as_sockaddr_in6()?;
    Some(SocketAddr::V6((*address).into()))
}
