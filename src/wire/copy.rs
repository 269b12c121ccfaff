//! COPY on the wire: bytes in until CopyDone, bytes out one CopyData a row.
//!
//! What the bytes mean is the engine's. Here is the sub-protocol: while data comes in, Flush and Sync are ignored and any
//! other message loses the synchronisation; a statement's token stops a client that sends nothing as well as one that
//! reads nothing.

use bytes::BufMut;
use tributary_pg::error::{PgError, Severity};
use tributary_pg::sqlstate;

use super::backend::{self, Plain};
use super::conversation::{Conversation, Step, Stop};
use super::frontend::{Frontend, Text};
use crate::engine::{CopyIn, CopyOut};

/// What comes next from a client that sends data.
enum Piece {
    Data(bytes::Bytes),
    End,
    GivenUp(Text),
}

impl Conversation {
    /// COPY FROM STDIN: takes the client's data and gives the command tag.
    pub(super) async fn copy_in(&mut self, mut copy: CopyIn) -> Step<String> {
        backend::copy_response(self.out.buffer(), true, copy.binary, copy.column_count);
        self.flush().await?;
        loop {
            match self.copy_piece(&copy).await? {
                Piece::Data(bytes) => copy.push(&mut self.session, &bytes).await?,
                Piece::End => return Ok(copy.finish(&mut self.session).await?),
                Piece::GivenUp(reason) => {
                    let message = format!("COPY from stdin failed: {}", reason.as_str()?);
                    return Err(PgError::new(sqlstate::QUERY_CANCELED, message).into());
                }
            }
        }
    }

    async fn copy_piece(&mut self, copy: &CopyIn) -> Step<Piece> {
        let token = self.session.token().clone();
        loop {
            let incoming = tokio::select! {
                biased;
                error = token.fired() => return Err(error.into()),
                incoming = self.intake.next() => incoming.ok_or(Stop::Ended)?,
            };
            match incoming.message? {
                Frontend::CopyData(bytes) => return Ok(Piece::Data(bytes)),
                Frontend::CopyDone => return Ok(Piece::End),
                Frontend::CopyFail(reason) => return Ok(Piece::GivenUp(reason)),
                Frontend::Flush | Frontend::Sync => {}
                Frontend::Terminate => return Err(Stop::Ended),
                other => return Err(self.lost_synchronisation(&other, copy).into()),
            }
        }
    }

    /// A message that cannot come now: what follows it cannot be told apart from data, so the connection must end.
    fn lost_synchronisation(&mut self, message: &Frontend, copy: &CopyIn) -> PgError {
        let kind = message.kind();
        let error = PgError::new(
            sqlstate::PROTOCOL_VIOLATION,
            format!("unexpected message type 0x{kind:02X} during COPY from stdin"),
        )
        .context(copy.context());
        backend::error_or_notice(self.out.buffer(), &error);
        PgError::new(sqlstate::PROTOCOL_VIOLATION, "terminating connection because protocol synchronization was lost")
            .severity(Severity::Fatal)
    }

    /// COPY TO STDOUT: sends all rows and gives the command tag.
    pub(super) async fn copy_out(&mut self, mut copy: CopyOut) -> Step<String> {
        backend::copy_response(self.out.buffer(), false, copy.binary, copy.column_count);
        while let Some(chunk) = copy.next(&mut self.session).await? {
            let mut start = 0;
            for end in chunk.ends {
                copy_data(self.out.buffer(), &chunk.bytes[start..end]);
                start = end;
                if self.out.full() {
                    self.send_chunk().await?;
                }
            }
        }
        backend::plain(self.out.buffer(), Plain::CopyDone);
        Ok(copy.tag())
    }
}

/// One CopyData message. A row is at most 1 GiB, so its length fits the length word.
fn copy_data(out: &mut bytes::BytesMut, row: &[u8]) {
    out.reserve(row.len() + 5);
    out.put_u8(b'd');
    out.put_u32(u32::try_from(row.len() + 4).expect("rows are limited to 1 GiB"));
    out.put_slice(row);
}
