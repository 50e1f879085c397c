//! HTTP/1 as a forward proxy speaks it (RFC 9110, RFC 9112): heads, framing, chunks, credentials, and what of a head
//! goes onward.
//!
//! A head is tokenised where it lies and edited by keeping or replacing whole lines, never rebuilt from a map: origins
//! recognise programs by the order, letter case and repetition of their fields, and a proxy must not blur them.
//! Nothing lenient is parsed. Where two programs could read one message in two ways, smuggling begins; such a message
//! is refused here, and what is sent onward is what was understood.

mod chunked;
mod credentials;
mod edit;
mod end;
mod framing;
mod head;
mod target;

pub use chunked::{ChunkError, Chunked, Form, Recoded};
pub use credentials::{Credentials, basic_credentials};
pub use edit::{Persistence, request_for_origin, response_for_client, switching_for_client};
pub use end::HeadEnd;
pub use framing::{Body, FramingError, ResponseFraming, request_body, response_framing};
pub use head::{Field, Fields, HeadError, MAX_FIELDS, MAX_HEAD, MAX_REQUEST_LINE, RequestHead, ResponseHead, Version};
pub use target::{ForwardTarget, Target, TargetError};
