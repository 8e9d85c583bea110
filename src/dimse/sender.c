#include "dimse/sender_priv.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "dicom/dicom.h"
#include "dimse/command_priv.h"
#include "dimse/scu.h"
#include "net/net.h"
#include "retrieve/retrieve.h"

enum {
	WINDOW = 16,
	BACKOFF_US = 500000, /* doubled from try to try */
	NAP_US = 50000
};

/* What an instance can be made into, the stored one aside. */
static const char *const native[] = {NX_UID_EXPLICIT_VR_LITTLE_ENDIAN,
	NX_UID_IMPLICIT_VR_LITTLE_ENDIAN, NX_UID_EXPLICIT_VR_BIG_ENDIAN};

struct sending {
	struct nx_sender *sender;
	struct nx_dimse_scu *scu;
	size_t n;
	bool *settled;
	size_t sent[NX_SCU_WINDOW_MAX]; /* by Message ID, modulo: instances without an answer */
	bool progress;                  /* something was settled on this association */

	/* What this association proposes. */
	struct nx_dimse_scu_context contexts[NX_LIMIT_PRES_CONTEXTS];
	const char *ts[NX_LIMIT_PRES_CONTEXTS][NX_ARRAY_LEN(native)];
	char uids[NX_LIMIT_PRES_CONTEXTS][2][NX_LIMIT_UID + 1];
	size_t n_contexts;
};

static bool goes_on(void *payload)
{
	const struct sending *s = payload;

	return s->sender->goes_on(s->sender->payload);
}

static void settle(struct sending *s, size_t i, unsigned status)
{
	s->settled[i] = true;
	s->progress = true;
	s->sender->settled(s->sender->payload, i, status);
}

static void answered(void *payload, uint16_t message_id, uint16_t status, const char *comment)
{
	struct sending *s = payload;

	(void)comment; /* the peer's text may name a patient */
	settle(s, s->sent[message_id % NX_SCU_WINDOW_MAX], status);
}

/* ---- contexts ---- */

static bool has_context(const struct sending *s, const char *sop_class, const char *ts)
{
	for (size_t i = 0; i < s->n_contexts; i++)
		if (strcmp(s->contexts[i].sop_class, sop_class) == 0 &&
			strcmp(s->contexts[i].ts[0], ts) == 0)
			return true;
	return false;
}

/* The class in the stored transfer syntax; where others can be made of it, in a second context the
 * peer has the choice of them. */
static bool context_add(struct sending *s, const struct nx_instance_info *info)
{
	bool two = nx_instances_convertible(info->ts_uid, native[0]);
	size_t at = s->n_contexts;

	if (at + 1 + two > NX_ARRAY_LEN(s->contexts))
		return false;
	for (size_t k = 0; k <= two; k++) {
		struct nx_dimse_scu_context *c = &s->contexts[at + k];

		(void)snprintf(s->uids[at + k][0], NX_LIMIT_UID + 1, "%s", info->sop_class);
		(void)snprintf(s->uids[at + k][1], NX_LIMIT_UID + 1, "%s", info->ts_uid);
		*c = (struct nx_dimse_scu_context){
			.sop_class = s->uids[at + k][0], .ts = s->ts[at + k]};
		if (k == 0)
			s->ts[at][c->n_ts++] = s->uids[at][1];
		for (size_t i = 0; k == 1 && i < NX_ARRAY_LEN(native); i++)
			if (strcmp(native[i], info->ts_uid) != 0 &&
				nx_instances_convertible(info->ts_uid, native[i]))
				s->ts[at + k][c->n_ts++] = native[i];
	}
	s->n_contexts += 1 + two;
	return true;
}

/* From the first that is not settled, as many kinds as fit one association. */
static void contexts_collect(struct sending *s)
{
	struct nx_instance_info info;
	bool room = true;

	s->n_contexts = 0;
	for (size_t i = 0; i < s->n && room; i++) {
		if (s->settled[i])
			continue;
		nx_instances_info(s->sender->instances, i, &info);
		if (!has_context(s, info.sop_class, info.ts_uid))
			room = context_add(s, &info);
	}
}

/* The transfer syntax that it is sent in; NULL: the peer accepted none. */
static const char *ts_choose(const struct sending *s, const struct nx_instance_info *info)
{
	if (nx_dimse_scu_accepts(s->scu, info->sop_class, info->ts_uid))
		return info->ts_uid;
	for (size_t i = 0; i < NX_ARRAY_LEN(native); i++)
		if (nx_instances_convertible(info->ts_uid, native[i]) &&
			nx_dimse_scu_accepts(s->scu, info->sop_class, native[i]))
			return native[i];
	return NULL;
}

/* ---- sending ---- */

static nx_rc association_open(struct sending *s, struct nx_err *err)
{
	const struct nx_dimse_destination *to = s->sender->to;
	const struct nx_dimse_opts *opts = s->sender->opts;
	struct nx_dimse_scu_opts scu = {
		.host = to->host,
		.port = to->port,
		.tls = to->tls ? opts->destination_tls : NULL,
		.calling = to->calling,
		.called = to->ae,
		.implementation_uid = opts->implementation_uid,
		.contexts = s->contexts,
		.window = WINDOW,
		.timeout_us = opts->destination_us,
		.on_status = answered,
		.goes_on = goes_on,
		.payload = s,
	};

	contexts_collect(s);
	scu.n_contexts = s->n_contexts;
	return nx_dimse_scu_open(&scu, &s->scu, err);
}

struct writing {
	struct sending *s;
	size_t i;
};

static nx_rc instance_write(void *payload, const struct nx_dimse_io *io, struct nx_buf *tx,
	uint8_t context, uint32_t max_pdu, struct nx_err *err)
{
	struct writing *w = payload;
	struct sending *s = w->s;

	s->sent[nx_dimse_scu_message_id(s->scu) % NX_SCU_WINDOW_MAX] = w->i;
	return nx_feed_write(
		s->sender->feed, io, tx, context, max_pdu, s->sender->opts->destination_us, err);
}

/* NX_OK: sent, or settled without.  Its first bytes are read while the peer is still at work on the
 * one before. */
static nx_rc instance_send(struct sending *s, size_t i, struct nx_err *err)
{
	struct writing w = {s, i};
	struct nx_dimse_scu_instance instance = {.write = instance_write,
		.payload = &w,
		.priority = s->sender->priority,
		.originator = s->sender->originator,
		.originator_id = s->sender->originator_id};
	struct nx_instance_info info;
	nx_rc rc;

	nx_instances_info(s->sender->instances, i, &info);
	if (!has_context(s, info.sop_class, info.ts_uid))
		return NX_OK; /* on the next association */
	instance.ts = ts_choose(s, &info);
	if (!instance.ts) {
		settle(s, i, NX_STATUS_CLASS_NOT_SUPPORTED);
		return NX_OK;
	}
	rc = nx_feed_load(s->sender->feed, i, instance.ts, err);
	if (rc) {
		settle(s, i, nx_rc_dimse(rc));
		return NX_OK;
	}
	instance.sop_class = info.sop_class;
	instance.sop_instance = info.sop_instance;
	s->sender->feed->broken = true; /* unless it is the reading that fails */
	rc = nx_dimse_scu_send(s->scu, &instance, err);
	if (rc && !s->sender->feed->broken)
		settle(s, i, nx_rc_dimse(rc));
	return rc;
}

static nx_rc association_use(struct sending *s, struct nx_err *err)
{
	nx_rc rc = NX_OK;

	for (size_t i = 0; i < s->n && !rc && goes_on(s); i++)
		if (!s->settled[i])
			rc = instance_send(s, i, err);
	if (!rc)
		rc = goes_on(s) ? nx_dimse_scu_release(s->scu, err)
				: nx_dimse_scu_drain(s->scu, err);
	s->scu = nx_dimse_scu_free(s->scu);
	return rc;
}

static bool all_settled(const struct sending *s)
{
	for (size_t i = 0; i < s->n; i++)
		if (!s->settled[i])
			return false;
	return true;
}

static void back_off(const struct sending *s, unsigned tries)
{
	const struct timespec nap = {.tv_nsec = NAP_US * 1000l};
	int64_t until = nx_mono_us() + ((int64_t)BACKOFF_US << (tries < 8 ? tries : 8));

	while (nx_mono_us() < until && s->sender->goes_on(s->sender->payload))
		(void)nanosleep(&nap, NULL);
}

nx_rc nx_sender_run(struct nx_sender *sender, struct nx_err *err)
{
	NX_AUTO_MEM struct sending *s = calloc(1, sizeof(*s));
	NX_AUTO_MEM bool *settled = NULL;
	unsigned tries = 0;
	nx_rc rc = NX_OK;

	if (s)
		settled = calloc(nx_instances_n(sender->instances) + 1, sizeof(*settled));
	if (!settled)
		return nx_err_set(err, NX_E_NOMEM, "no memory for an association");
	s->sender = sender;
	s->settled = settled;
	s->n = nx_instances_n(sender->instances);
	while (!all_settled(s) && sender->goes_on(sender->payload)) {
		s->progress = false;
		rc = association_open(s, err);
		if (!rc)
			rc = association_use(s, err);
		if (all_settled(s) || !sender->goes_on(sender->payload))
			return NX_OK;
		tries = s->progress ? 0 : tries + 1;
		if (rc)
			nx_log(NX_LOG_WARN, "dimse", "destination", "%s", nx_err_text(err));
		if (rc == NX_E_DENIED || tries >= (sender->tries ? sender->tries : 1))
			return rc ? rc : nx_err_set(err, NX_E_CLOSED, "nothing was answered");
		if (tries)
			back_off(s, tries - 1);
	}
	return NX_OK;
}
