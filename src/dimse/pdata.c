#include <sys/uio.h>

#include "base/buf.h"
#include "dimse/io_priv.h"
#include "dimse/pdu_priv.h"

enum {
	IOV_FRAGMENTS = 32,
	HEADERS = NX_PDU_HEADER_LEN + NX_PDV_HEADER_LEN
};

nx_rc nx_pdata_write(const struct nx_dimse_io *io, struct nx_buf *tx, uint8_t context,
	uint32_t max_pdu, struct nx_slice bytes, bool last, struct nx_err *err)
{
	uint8_t headers[IOV_FRAGMENTS][HEADERS];
	struct iovec iov[1 + 2 * IOV_FRAGMENTS];
	uint32_t most = nx_pdu_fragment_max(max_pdu);
	nx_rc rc = nx_buf_check(tx, err);

	while (!rc && bytes.n > 0) {
		int n = 0;

		iov[n++] = (struct iovec){.iov_base = tx->data, .iov_len = tx->len};
		for (int i = 0; i < IOV_FRAGMENTS && bytes.n > 0; i++) {
			uint32_t len = bytes.n > most ? most : (uint32_t)bytes.n;
			union {
				const uint8_t *in;
				void *out;
			} from = {.in = bytes.p}; /* struct iovec has no const */

			nx_pdu_data_header(
				headers[i], context, last && len == bytes.n ? NX_PDV_LAST : 0, len);
			iov[n++] = (struct iovec){headers[i], sizeof(headers[i])};
			iov[n++] = (struct iovec){from.out, len};
			bytes = nx_slice(bytes.p + len, bytes.n - len);
		}
		rc = io->ops->writev(io->transport, iov, n, err);
		nx_buf_clear(tx);
	}
	return rc;
}
