//! Messages that cross process borders.
//!
//! What lives here: the types of the ZeroMQ wire between arena and Cerebellum, and the Bybit v5
//! types shared by Cerebellum (client) and the paper venue (server), and what both do alike at the
//! border of a process: its lines, its settings. No sockets, no clocks.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

/// Bybit v5: signing, rows and frames as the exchange spells them.
pub mod bybit;
/// Lines for whoever started a process, and its log: neither ever ends the process.
pub mod lines;
/// Who may ask a service on the loopback interface.
pub mod local_http;
/// Why the settings of a process cannot be taken.
pub mod settings_error;
/// The ZeroMQ wire between arena and Cerebellum.
pub mod wire;
