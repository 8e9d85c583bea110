#include "dimse/io_priv.h"

#include <string.h>

#include "net/net.h"

static nx_rc conn_wait(void *transport, struct nx_err *err)
{
	return nx_conn_wait(transport, err);
}

static bool conn_ready(void *transport)
{
	return nx_conn_ready(transport);
}

static nx_rc conn_read_some(void *transport, void *p, size_t n, size_t *ret_n, struct nx_err *err)
{
	return nx_conn_read_some(transport, p, n, ret_n, err);
}

static nx_rc conn_writev(void *transport, const struct iovec *iov, int n, struct nx_err *err)
{
	return nx_conn_writev(transport, iov, n, err);
}

static void conn_deadline(void *transport, int64_t mono_us)
{
	nx_conn_deadline(transport, mono_us);
}

static bool conn_draining(void *transport)
{
	return nx_conn_draining(transport);
}

static void conn_settled(void *transport)
{
	nx_conn_settled(transport);
}

struct nx_dimse_io nx_dimse_io_conn(struct nx_conn *conn)
{
	static const struct nx_dimse_io_ops ops = {
		.wait = conn_wait,
		.ready = conn_ready,
		.read_some = conn_read_some,
		.writev = conn_writev,
		.deadline = conn_deadline,
		.draining = conn_draining,
		.settled = conn_settled,
	};

	return (struct nx_dimse_io){
		.ops = &ops,
		.transport = conn,
		.peer = nx_conn_peer(conn),
		.peer_cn = nx_conn_peer_cn(conn),
	};
}

bool nx_rx_init(struct nx_rx *rx, size_t cap)
{
	*rx = (struct nx_rx){.data = malloc(cap), .cap = cap};
	return rx->data != NULL;
}

void nx_rx_done(struct nx_rx *rx)
{
	if (rx->data)
		explicit_bzero(rx->data, rx->cap);
	free(rx->data);
	*rx = (struct nx_rx){0};
}

void nx_rx_wipe(struct nx_rx *rx, size_t n)
{
	explicit_bzero(rx->data + rx->off, n);
}

nx_rc nx_rx_fill(struct nx_rx *rx, const struct nx_dimse_io *io, struct nx_err *err)
{
	size_t rest = rx->len - rx->off;
	size_t got;
	nx_rc rc;

	/* What is left is a piece of a header, or of a short PDU: moving it is cheap. */
	if (rx->off > 0) {
		memmove(rx->data, rx->data + rx->off, rest);
		rx->off = 0;
		rx->len = rest;
	}
	if (rx->len == rx->cap)
		return nx_err_set(err, NX_E_LIMIT, "receive buffer of %zu bytes is full", rx->cap);
	rc = io->ops->read_some(io->transport, rx->data + rx->len, rx->cap - rx->len, &got, err);
	if (rc)
		return rc;
	rx->len += got;
	return NX_OK;
}
