#include "mem_io.h"

#include <assert.h>
#include <string.h>
#include <sys/uio.h>

enum {
	OUT_MAX = 64 * 1024 * 1024
};

void mem_io_init(struct mem_io *mem, struct nx_slice in)
{
	*mem = (struct mem_io){.in = in, .end = NX_E_CLOSED};
	nx_buf_init(&mem->out, OUT_MAX, 0);
	nx_buf_init(&mem->replies, OUT_MAX, 0);
}

void mem_io_done(struct mem_io *mem)
{
	nx_buf_done(&mem->out);
	nx_buf_done(&mem->replies);
}

static bool mem_draining(void *transport)
{
	const struct mem_io *mem = transport;

	return mem->drains && mem->in.n < mem->drain_before;
}

static void mem_settled(void *transport)
{
	struct mem_io *mem = transport;

	mem->settled = true;
}

static nx_rc mem_wait(void *transport, struct nx_err *err)
{
	const struct mem_io *mem = transport;

	return mem->in.n > 0 || mem->replied < mem->replies.len
		? NX_OK
		: nx_err_set(err, mem->end, "end of the script");
}

static bool mem_ready(void *transport)
{
	struct mem_io *mem = transport;

	if (mem->later_polls && --mem->later_polls == 0)
		mem->later = mem->last;
	return mem->in.n > mem->later || mem->replied < mem->replies.len;
}

static nx_rc mem_read_some(void *transport, void *p, size_t n, size_t *ret_n, struct nx_err *err)
{
	struct mem_io *mem = transport;

	if (mem->in.n == 0 && mem->replied == mem->replies.len)
		return nx_err_set(err, mem->end, "end of the script");
	if (mem->in.n <= mem->later && mem->replied < mem->replies.len) {
		*ret_n = n < mem->replies.len - mem->replied ? n : mem->replies.len - mem->replied;
		memcpy(p, mem->replies.data + mem->replied, *ret_n);
		mem->replied += *ret_n;
		return NX_OK;
	}
	if (mem->in.n <= mem->later)
		mem->later = mem->in.n <= mem->last ? 0 : mem->last;
	if (n > mem->in.n - mem->later)
		n = mem->in.n - mem->later;
	if (mem->chunk && n > mem->chunk)
		n = mem->chunk;
	memcpy(p, mem->in.p, n);
	mem->in = nx_slice(mem->in.p + n, mem->in.n - n);
	*ret_n = n;
	return NX_OK;
}

static nx_rc mem_writev(void *transport, const struct iovec *iov, int n, struct nx_err *err)
{
	struct mem_io *mem = transport;

	if (mem->writes_good && mem->writes == mem->writes_good)
		return nx_err_set(err, NX_E_CLOSED, "write fails");
	mem->writes++;
	for (int i = 0; i < n; i++)
		nx_buf_put(&mem->out, iov[i].iov_base, iov[i].iov_len);
	if (mem->wrote)
		mem->wrote(mem->payload);
	return nx_buf_check(&mem->out, err);
}

static void mem_deadline(void *transport, int64_t mono_us)
{
	(void)transport;
	assert(mono_us > 0);
}

struct nx_dimse_io mem_io(struct mem_io *mem)
{
	static const struct nx_dimse_io_ops ops = {
		.wait = mem_wait,
		.ready = mem_ready,
		.read_some = mem_read_some,
		.writev = mem_writev,
		.deadline = mem_deadline,
		.draining = mem_draining,
		.settled = mem_settled,
	};

	return (struct nx_dimse_io){.ops = &ops, .transport = mem, .peer = "memory"};
}

bool mem_pdu_next(struct mem_reader *reader, struct nx_pdu_header *ret, struct nx_slice *ret_body)
{
	if (reader->rest.n == 0)
		return false;
	assert(reader->rest.n >= NX_PDU_HEADER_LEN);
	*ret = nx_pdu_header_parse(reader->rest.p);
	assert(ret->len <= reader->rest.n - NX_PDU_HEADER_LEN);
	*ret_body = nx_slice(reader->rest.p + NX_PDU_HEADER_LEN, ret->len);
	reader->rest =
		nx_slice(ret_body->p + ret->len, reader->rest.n - NX_PDU_HEADER_LEN - ret->len);
	return true;
}
