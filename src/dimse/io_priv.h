/*
 * io_priv.h - what an association reads from and writes to: a connection, or memory in tests.
 *
 * Layer:   4 (dimse).
 * Threads: one thread at a time.
 * PHI:     bytes pass through; the receive buffer is wiped when it ends.
 */
#ifndef NX_DIMSE_IO_PRIV_H
#define NX_DIMSE_IO_PRIV_H

#include <stdint.h>

#include "base/auto.h"
#include "base/err.h"
#include "base/slice.h"

struct iovec;
struct nx_buf;
struct nx_conn;

struct nx_dimse_io_ops {
	/* Between exchanges: until there is something to read, or NX_E_CLOSED when the listener
	 * drains; NX_E_TIMEOUT at the deadline. */
	nx_rc (*wait)(void *transport, struct nx_err *err);
	bool (*ready)(void *transport); /* read_some() would not wait */
	/* At least one byte.  NX_E_TIMEOUT at the deadline,
	 * NX_E_CLOSED when the peer has gone. */
	nx_rc (*read_some)(void *transport, void *p, size_t n, size_t *ret_n, struct nx_err *err);
	/* All of it, or a failure after which the transport is of no more use. */
	nx_rc (*writev)(void *transport, const struct iovec *iov, int n, struct nx_err *err);
	void (*deadline)(void *transport, int64_t mono_us);
	bool (*draining)(void *transport);
	void (*settled)(void *transport); /* the peer is known */
};

struct nx_dimse_io {
	const struct nx_dimse_io_ops *ops;
	void *transport;
	const char *peer;
	const char *peer_cn; /* may be NULL */
};

/* Over a network connection; `conn` is borrowed. */
struct nx_dimse_io nx_dimse_io_conn(struct nx_conn *conn);

/* What is queued in `tx`, then a piece of a data set from where it lies: one write for many
 * fragments.  `tx` is empty afterwards. */
NX_NODISCARD nx_rc nx_pdata_write(const struct nx_dimse_io *io, struct nx_buf *tx, uint8_t context,
	uint32_t max_pdu, struct nx_slice bytes, bool last, struct nx_err *err);

/* Bytes received and not yet used: data[off..len). */
struct nx_rx {
	uint8_t *data;
	size_t cap;
	size_t off;
	size_t len;
};

NX_NODISCARD bool nx_rx_init(struct nx_rx *rx, size_t cap); /* false without memory */
void nx_rx_done(struct nx_rx *rx);
/* One read into all the room there is.  NX_E_LIMIT when there is none. */
NX_NODISCARD nx_rc nx_rx_fill(struct nx_rx *rx, const struct nx_dimse_io *io, struct nx_err *err);

/* The first `n` bytes that are there become zeros. */
void nx_rx_wipe(struct nx_rx *rx, size_t n);

static inline struct nx_slice nx_rx_slice(const struct nx_rx *rx)
{
	return nx_slice(rx->data + rx->off, rx->len - rx->off);
}

static inline void nx_rx_skip(struct nx_rx *rx, size_t n)
{
	rx->off += n;
}

#endif
