#include "dimse/dimse_priv.h"

#include <stdarg.h>
#include <sys/uio.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"

enum {
	ARENA_MAX = 8 * 1024 * 1024, /* an A-ASSOCIATE-RQ of the largest size takes up to 4 MiB */
	RX_CAP = NX_LIMIT_PDU_ASSOC + 4096,
	TX_MAX = 1024 * 1024,
	LINGER_MAX = 16 * 1024 * 1024 /* bytes passed over after our last word */
};

_Static_assert(RX_CAP >= NX_LIMIT_PDU_ASSOC + NX_PDU_HEADER_LEN, "A-ASSOCIATE-RQ fits");

nx_rc nx_assoc_violation(struct nx_assoc *assoc, enum nx_abort_reason reason, struct nx_err *err,
	const char *fmt, ...)
{
	char text[NX_ERR_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	assoc->abort.source = NX_ABORT_BY_PROVIDER;
	assoc->abort.reason = (uint8_t)reason;
	return nx_err_set(err, NX_E_MALFORMED, "%s", text);
}

nx_rc nx_assoc_write(struct nx_assoc *assoc, struct nx_err *err)
{
	struct iovec iov = {.iov_base = assoc->tx.data, .iov_len = assoc->tx.len};
	nx_rc rc;

	rc = nx_buf_check(&assoc->tx, err);
	if (rc || iov.iov_len == 0)
		return rc;
	assoc->io->ops->deadline(assoc->io->transport, nx_mono_us() + assoc->opts->write_us);
	rc = assoc->io->ops->writev(assoc->io->transport, &iov, 1, err);
	nx_buf_clear(&assoc->tx);
	if (rc)
		assoc->dead = true;
	return rc;
}

/* More bytes before `until`; where the association may end, it does so as soon as the listener
 * drains. */
static nx_rc input_wait(struct nx_assoc *assoc, int64_t until, bool may_drain, struct nx_err *err)
{
	const struct nx_dimse_io *io = assoc->io;
	nx_rc rc = NX_OK;

	io->ops->deadline(io->transport, until);
	if (may_drain)
		rc = io->ops->draining(io->transport) ? NX_E_CLOSED
						      : io->ops->wait(io->transport, err);
	if (rc == NX_E_CLOSED && io->ops->draining(io->transport))
		return nx_err_set(err, NX_E_BUSY, "the listener stops");
	if (!rc)
		rc = nx_rx_fill(&assoc->rx, io, err);
	if (rc && rc != NX_E_TIMEOUT)
		assoc->dead = true;
	return rc;
}

/* ---- establishment (PS3.8 9.2, Sta2 and Sta3) ---- */

/* The body of the A-ASSOCIATE-RQ, whole, in the receive buffer. */
static nx_rc request_wait(struct nx_assoc *assoc, struct nx_slice *ret_body, struct nx_err *err)
{
	int64_t until = nx_mono_us() + assoc->opts->artim_us;
	struct nx_pdu_header pdu = {0};
	struct nx_slice in = nx_rx_slice(&assoc->rx);
	nx_rc rc;

	while (in.n < NX_PDU_HEADER_LEN || in.n - NX_PDU_HEADER_LEN < pdu.len) {
		rc = input_wait(assoc, until, true, err);
		if (rc)
			return rc;
		in = nx_rx_slice(&assoc->rx);
		if (in.n < NX_PDU_HEADER_LEN)
			continue;
		pdu = nx_pdu_header_parse(in.p);
		assoc->dead = pdu.type == NX_PDU_ABORT; /* AA-2 */
		if (pdu.type != NX_PDU_ASSOCIATE_RQ)
			return nx_err_set(err, NX_E_MALFORMED,
				"PDU of type %02XH before an association", pdu.type);
		if (pdu.len > NX_LIMIT_PDU_ASSOC)
			return nx_err_set(err, NX_E_LIMIT, "A-ASSOCIATE-RQ of %u bytes", pdu.len);
	}
	*ret_body = nx_slice(in.p + NX_PDU_HEADER_LEN, pdu.len);
	return NX_OK;
}

static bool title_valid(const char *title)
{
	for (const char *c = title; *c; c++) {
		if (*c < 0x20 || *c > 0x7e || *c == '\\')
			return false;
	}
	return *title != '\0';
}

static struct nx_pdu_refusal refusal_of(nx_rc rc)
{
	switch (rc) {
	case NX_E_DENIED:
		return NX_RJ_CALLING_AE;
	case NX_E_UNAUTHENTICATED:
		return NX_RJ_NO_REASON;
	case NX_E_NOENT:
		return NX_RJ_CALLED_AE;
	case NX_E_LIMIT:
	case NX_E_BUSY:
		return NX_RJ_LOCAL_LIMIT;
	default:
		return NX_RJ_CONGESTION;
	}
}

/* Closed by default: whoever is not known stays outside, whatever else was proposed. */
static nx_rc peer_admit(struct nx_assoc *assoc, struct nx_pdu_refusal *ret_why, struct nx_err *err)
{
	const struct nx_pdu_associate *rq = &assoc->rq;
	const struct nx_dimse_opts *opts = assoc->opts;
	const struct nx_dimse_peer peer = {.calling = rq->calling,
		.called = rq->called,
		.address = assoc->io->peer,
		.certificate = assoc->io->peer_cn,
		.identity = rq->identity_type,
		.user = rq->identity,
		.secret = rq->identity_secret};
	nx_rc rc = NX_OK;

	if (!nx_assoc_acceptable(rq, ret_why, err))
		return err->rc;
	if (!title_valid(rq->calling))
		rc = nx_err_set(err, NX_E_DENIED, "calling AE title is empty or not valid");
	else if (!title_valid(rq->called))
		rc = nx_err_set(err, NX_E_NOENT, "called AE title is empty or not valid");
	if (!rc)
		rc = opts->authenticate(opts->context, &peer, &assoc->guest, err);
	if (!rc) {
		rc = nx_dimse_admit(assoc->dimse, rq->calling, err);
		assoc->counted = !rc;
	}
	if (rc)
		*ret_why = refusal_of(rc);
	return rc;
}

static nx_rc reject(struct nx_assoc *assoc, struct nx_pdu_refusal why, struct nx_err *err)
{
	const struct nx_dimse_opts *opts = assoc->opts;
	nx_rc rc;

	nx_log(NX_LOG_WARN, "dimse", "rejected", "%s: result %u, source %u, reason %u: %s",
		assoc->io->peer, why.result, why.source, why.reason, nx_err_text(err));
	if (opts->refused)
		opts->refused(
			opts->context, assoc->rq.calling, assoc->rq.called, assoc->io->peer, err);
	nx_dimse_count(assoc->dimse, NX_COUNT_REJECTED, 1);
	nx_pdu_short_format(&assoc->tx, NX_PDU_ASSOCIATE_RJ, why);
	rc = nx_assoc_write(assoc, err);
	assoc->over = true;
	return rc;
}

/* What proves a user is not kept for as long as the association lasts. */
static void secret_wipe(struct nx_assoc *assoc, struct nx_slice body)
{
	if (assoc->rq.has_identity)
		nx_rx_wipe(&assoc->rx, NX_PDU_HEADER_LEN + body.n);
	assoc->rq.identity = assoc->rq.identity_secret = (struct nx_slice){0};
}

static nx_rc establish(struct nx_assoc *assoc, struct nx_err *err)
{
	struct nx_pdu_associate answer;
	struct nx_pdu_refusal why = {0};
	struct nx_slice body;
	nx_rc rc;

	rc = request_wait(assoc, &body, err);
	if (rc)
		return rc;
	rc = nx_pdu_associate_parse(body, NX_PDU_ASSOCIATE_RQ, assoc->arena, &assoc->rq, err);
	if (rc)
		return rc;
	rc = peer_admit(assoc, &why, err);
	secret_wipe(assoc, body);
	nx_rx_skip(&assoc->rx, NX_PDU_HEADER_LEN + body.n);
	if (rc)
		return reject(assoc, why, err);

	nx_assoc_negotiate(assoc, &answer);
	nx_pdu_associate_format(&assoc->tx, NX_PDU_ASSOCIATE_AC, &answer);
	assoc->established = true;
	assoc->io->ops->settled(assoc->io->transport);
	nx_dimse_count(assoc->dimse, NX_COUNT_ACCEPTED, 1);
	return nx_assoc_write(assoc, err);
}

/* ---- data transfer and release (Sta6, Sta8) ---- */

static nx_rc release(struct nx_assoc *assoc, struct nx_err *err)
{
	nx_rc rc;

	assoc->release_waits = true; /* nothing more will be answered to us */
	rc = nx_message_flush(assoc, err);
	if (rc)
		return rc;
	nx_pdu_short_format(&assoc->tx, NX_PDU_RELEASE_RP, (struct nx_pdu_refusal){0});
	rc = nx_assoc_write(assoc, err);
	if (rc)
		return rc;
	nx_dimse_count(assoc->dimse, NX_COUNT_RELEASED, 1);
	assoc->over = true;
	return NX_OK;
}

static nx_rc peer_abort(struct nx_assoc *assoc, const uint8_t *body, struct nx_err *err)
{
	assoc->dead = true; /* AA-3: the transport is closed, nothing is said */
	return nx_err_set(
		err, NX_E_CLOSED, "the peer aborts: source %u, reason %u", body[2], body[3]);
}

/* The next PDU's header and, but for P-DATA-TF, its body. */
static nx_rc pdu_next(struct nx_assoc *assoc, bool *ret_more, struct nx_err *err)
{
	struct nx_slice in = nx_rx_slice(&assoc->rx);
	struct nx_pdu_header pdu;

	*ret_more = in.n < NX_PDU_HEADER_LEN;
	if (*ret_more)
		return NX_OK;
	pdu = nx_pdu_header_parse(in.p);
	if (pdu.type == NX_PDU_DATA) {
		nx_rx_skip(&assoc->rx, NX_PDU_HEADER_LEN);
		return nx_message_pdu(assoc, pdu.len, err);
	}
	if (pdu.type < NX_PDU_ASSOCIATE_RQ || pdu.type > NX_PDU_ABORT)
		return nx_assoc_violation(assoc, NX_ABORT_UNRECOGNIZED_PDU, err,
			"PDU of unknown type %02XH", pdu.type);
	if (pdu.type != NX_PDU_RELEASE_RQ && pdu.type != NX_PDU_ABORT)
		return nx_assoc_violation(assoc, NX_ABORT_UNEXPECTED_PDU, err,
			"PDU of type %02XH during data transfer", pdu.type);
	if (pdu.len != NX_PDU_SHORT_LEN)
		return nx_assoc_violation(assoc, NX_ABORT_INVALID_PARAMETER, err,
			"PDU of type %02XH with %u bytes", pdu.type, pdu.len);
	*ret_more = in.n < NX_PDU_HEADER_LEN + NX_PDU_SHORT_LEN;
	/* A release waits for the operation at hand, which may still send (PS3.8 7.2.1, Sta8). */
	assoc->release_waits = assoc->working && pdu.type == NX_PDU_RELEASE_RQ;
	*ret_more |= assoc->release_waits;
	if (*ret_more)
		return NX_OK;
	nx_rx_skip(&assoc->rx, NX_PDU_HEADER_LEN + NX_PDU_SHORT_LEN);
	if (pdu.type == NX_PDU_ABORT)
		return peer_abort(assoc, in.p + NX_PDU_HEADER_LEN, err);
	return release(assoc, err);
}

static nx_rc buffered_use(struct nx_assoc *assoc, struct nx_err *err)
{
	bool more = false;
	nx_rc rc = NX_OK;

	while (!rc && !more && !assoc->over) {
		if (assoc->pdu_left > 0)
			rc = nx_message_consume(assoc, &more, err);
		else
			rc = pdu_next(assoc, &more, err);
	}
	return rc;
}

nx_rc nx_assoc_poll(struct nx_assoc *assoc, struct nx_err *err)
{
	const struct nx_dimse_io *io = assoc->io;
	nx_rc rc = buffered_use(assoc, err);

	while (!rc && !assoc->release_waits && io->ops->ready(io->transport)) {
		rc = input_wait(assoc, nx_mono_us() + assoc->opts->write_us, false, err);
		if (!rc)
			rc = buffered_use(assoc, err);
	}
	return rc;
}

nx_rc nx_assoc_await(struct nx_assoc *assoc, struct nx_err *err)
{
	nx_rc rc = nx_assoc_write(assoc, err);

	if (!rc && assoc->release_waits)
		return nx_err_set(err, NX_E_MALFORMED, "a release instead of an answer");
	if (!rc)
		rc = input_wait(assoc, nx_mono_us() + assoc->opts->write_us, false, err);
	return rc ? rc : buffered_use(assoc, err);
}

/*
 * Operations are finished where the peer may be waiting for them: before a wait for input between
 * messages.  Inside a message the peer has more to send whatever we answer, so commits go on behind
 * the next data set where the peer has a window of operations.
 */
static nx_rc transfer(struct nx_assoc *assoc, struct nx_err *err)
{
	bool idle;
	nx_rc rc;

	rc = buffered_use(assoc, err);
	while (!rc && !assoc->over) {
		idle = nx_message_idle(assoc);
		if (idle)
			rc = nx_message_flush(assoc, err);
		if (!rc && assoc->release_waits) {
			assoc->release_waits = false;
			rc = buffered_use(assoc, err);
			continue;
		}
		if (!rc)
			rc = nx_assoc_write(assoc, err);
		if (!rc)
			rc = input_wait(assoc, nx_mono_us() + assoc->opts->idle_us, idle, err);
		if (!rc)
			rc = buffered_use(assoc, err);
	}
	return rc;
}

/* ---- the end (Sta13) ---- */

static void abort_send(struct nx_assoc *assoc)
{
	nx_rc rc;

	/* Answers that are queued go first: what they acknowledge is kept. */
	if (assoc->tx.failed)
		nx_buf_clear(&assoc->tx);
	nx_pdu_short_format(&assoc->tx, NX_PDU_ABORT, assoc->abort);
	rc = nx_assoc_write(assoc, NULL);
	(void)rc; /* the association is over either way */
}

/* The peer closes first, or ARTIM does: closing with bytes unread would reset the connection and
 * may destroy our last PDU on its way. */
static void linger(struct nx_assoc *assoc)
{
	int64_t until = nx_mono_us() + assoc->opts->artim_us;
	uint64_t passed = 0;
	nx_rc rc = NX_OK;

	while (!rc && passed < LINGER_MAX) {
		nx_rx_skip(&assoc->rx, nx_rx_slice(&assoc->rx).n);
		rc = input_wait(assoc, until, true, NULL);
		passed += nx_rx_slice(&assoc->rx).n;
	}
}

/* PS3.8 9.2, Table 9-10: which ends say goodbye. */
static void conclude(struct nx_assoc *assoc, nx_rc rc, const struct nx_err *err)
{
	bool artim_expired = !assoc->established && rc == NX_E_TIMEOUT; /* AA-2 */

	if (!rc)
		return;
	nx_log(NX_LOG_WARN, "dimse", "aborted", "%s: %s after %llu operations", assoc->io->peer,
		nx_err_text(err), (unsigned long long)assoc->operations);
	nx_dimse_count(assoc->dimse, NX_COUNT_ABORTED, 1);
	/* Our own end, not a fault of the peer's user. */
	if (rc == NX_E_TIMEOUT || rc == NX_E_BUSY || rc == NX_E_NOMEM)
		assoc->abort.source = NX_ABORT_BY_PROVIDER;
	if (!assoc->dead && !assoc->over && !artim_expired)
		abort_send(assoc);
	if (artim_expired)
		assoc->dead = true;
}

static void assoc_free(struct nx_assoc *assoc)
{
	nx_buf_done(&assoc->command);
	nx_buf_done(&assoc->tx);
	nx_rx_done(&assoc->rx);
	nx_arena_free(assoc->arena);
	free(assoc);
}

static struct nx_assoc *assoc_new(struct nx_dimse *dimse, const struct nx_dimse_io *io)
{
	struct nx_assoc *assoc = calloc(1, sizeof(*assoc));

	if (!assoc)
		return NULL;
	assoc->dimse = dimse;
	assoc->opts = nx_dimse_opts_of(dimse);
	assoc->io = io;
	assoc->window = assoc->window_sub = 1;
	nx_buf_init(&assoc->tx, TX_MAX, 0);
	nx_buf_init(&assoc->command, NX_LIMIT_COMMAND_SET, 0);
	assoc->arena = nx_arena_new(ARENA_MAX, 0);
	if (!nx_rx_init(&assoc->rx, RX_CAP) || !assoc->arena) {
		assoc_free(assoc);
		return NULL;
	}
	return assoc;
}

/* What others are waiting for is given back before the peer is waited for. */
static void assoc_leave(struct nx_assoc *assoc)
{
	const struct nx_dimse_opts *opts = assoc->opts;

	nx_message_done(assoc);
	if (assoc->counted)
		nx_dimse_leave(assoc->dimse, assoc->rq.calling);
	if (assoc->guest.who && opts->principal_free)
		opts->principal_free(opts->context, assoc->guest.who);
	assoc->guest.who = NULL;
}

void nx_assoc_run(struct nx_dimse *dimse, const struct nx_dimse_io *io)
{
	struct nx_assoc *assoc = assoc_new(dimse, io);
	struct nx_err err = {0};
	nx_rc rc;

	if (!assoc) {
		nx_log(NX_LOG_ERROR, "dimse", "aborted", "%s: no memory for association", io->peer);
		return;
	}
	rc = establish(assoc, &err);
	if (!rc && !assoc->over)
		rc = transfer(assoc, &err);
	conclude(assoc, rc, &err);
	assoc_leave(assoc);
	if (!assoc->dead)
		linger(assoc);
	assoc_free(assoc);
}
