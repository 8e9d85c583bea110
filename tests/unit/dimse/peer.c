#include "peer.h"

#include <assert.h>
#include <string.h>

/* The passcode of the one user there is says who it is. */
static nx_rc authenticate(void *context, const struct nx_dimse_peer *who,
	struct nx_dimse_guest *ret, struct nx_err *err)
{
	struct peer *peer = context;

	assert(*who->calling && *who->called);
	if (peer->authenticate)
		return nx_err_set(err, peer->authenticate, "not on the allow-list");
	peer->principals++;
	ret->who = (struct nx_principal *)(void *)peer;
	ret->user_known = who->identity == NX_IDENTITY_PASSCODE &&
		nx_slice_eq(who->user, nx_slice_str(PEER_USER)) &&
		nx_slice_eq(who->secret, nx_slice_str(PEER_PASSCODE));
	(void)snprintf(ret->collection, sizeof(ret->collection), "inbox");
	return NX_OK;
}

static void principal_free(void *context, struct nx_principal *who)
{
	struct peer *peer = context;

	assert((void *)who == (void *)peer);
	peer->principals--;
}

static nx_rc authorize(void *context, const struct nx_principal *who, const char *permission,
	const char *action, const char *collection, struct nx_err *err)
{
	struct peer *peer = context;

	(void)who;
	assert((strcmp(permission, "verify") == 0 && strcmp(action, "verify") == 0) ||
		(strcmp(permission, "store") == 0 && strcmp(action, "commitment") == 0));
	assert(strcmp(collection, "inbox") == 0);
	return peer->authorize ? nx_err_set(err, peer->authorize, "role may not verify") : NX_OK;
}

static void refused(void *context, const char *calling, const char *called, const char *peer_name,
	const struct nx_err *why)
{
	struct peer *peer = context;

	(void)calling, (void)called, (void)peer_name;
	assert(why->rc);
	peer->refused++;
}

static void proposal_fill(struct peer *peer)
{
	static const char *ts[] = {"1.2.840.10008.1.2.1", "1.2.840.10008.1.2"};
	static struct nx_pdu_context contexts[] = {
		{.id = 1, .abstract = PEER_VERIFICATION, .ts = ts, .n_ts = 2},
		{.id = 3, .abstract = PEER_CT, .ts = ts, .n_ts = 2},
		{.id = 5, .abstract = PEER_PRIVATE, .ts = ts, .n_ts = 1},
		{.id = 7, .abstract = PEER_FIND, .ts = ts + 1, .n_ts = 1},
		{.id = 9, .abstract = PEER_FIND_PATIENT, .ts = ts + 1, .n_ts = 1},
		{.id = 11, .abstract = PEER_REFUSED, .ts = ts, .n_ts = 1},
		{.id = 13, .abstract = PEER_GET, .ts = ts + 1, .n_ts = 1},
		{.id = 15, .abstract = PEER_COMMIT, .ts = ts + 1, .n_ts = 1},
		{.id = 17, .abstract = PEER_WORKLIST, .ts = ts + 1, .n_ts = 1},
		{.id = 19, .abstract = PEER_STEP, .ts = ts + 1, .n_ts = 1},
	};

	peer->rq = (struct nx_pdu_associate){
		.version = 1,
		.called = "NARTHEX",
		.calling = "CT01",
		.application_context = "1.2.840.10008.3.1.1.1",
		.contexts = contexts,
		.n_contexts = NX_ARRAY_LEN(contexts),
		.max_pdu = 16384,
		.implementation_uid = "2.25.2",
	};
}

void peer_init(struct peer *peer)
{
	*peer = (struct peer){0};
	nx_buf_init(&peer->script, 64 * NX_MIB, 0);
	nx_buf_init(&peer->scp.command, NX_MIB, 0);
	proposal_fill(peer);
	peer->opts = (struct nx_dimse_opts){
		.authenticate = authenticate,
		.principal_free = principal_free,
		.authorize = authorize,
		.refused = refused,
		.context = peer,
		.ingest = mock_ingest(&peer->mock),
		.retrieve = mock_retrieve(&peer->retrieve),
		.forward = mock_forward(&peer->forward),
		.implementation_uid = "2.25.1",
		.implementation_version = "TEST",
	};
}

void peer_done(struct peer *peer)
{
	peer->dimse = nx_dimse_free(peer->dimse);
	mem_io_done(&peer->mem);
	nx_buf_done(&peer->scp.command);
	nx_buf_done(&peer->script);
}

void peer_associate(struct peer *peer)
{
	nx_pdu_associate_format(&peer->script, NX_PDU_ASSOCIATE_RQ, &peer->rq);
}

void peer_command(struct peer *peer, uint8_t context, const struct nx_dimse_cmd *cmd)
{
	NX_AUTO_DONE(nx_buf) bytes;

	nx_buf_init(&bytes, NX_MIB, 0);
	nx_cmd_format(&bytes, cmd);
	nx_pdu_data_format(&peer->script, context, true, nx_buf_slice(&bytes), 0);
}

struct nx_dimse_cmd peer_echo_cmd(uint16_t message_id)
{
	struct nx_dimse_cmd cmd = {
		.field = NX_C_ECHO_RQ,
		.message_id = message_id,
		.dataset_type = NX_DIMSE_NO_DATASET,
		.sop_class = PEER_VERIFICATION,
	};

	nx_cmd_mark(&cmd, NX_CMD_FIELD);
	nx_cmd_mark(&cmd, NX_CMD_MESSAGE_ID);
	nx_cmd_mark(&cmd, NX_CMD_DATASET_TYPE);
	nx_cmd_mark(&cmd, NX_CMD_SOP_CLASS);
	return cmd;
}

struct nx_dimse_cmd peer_store_cmd(uint16_t message_id)
{
	struct nx_dimse_cmd cmd = peer_echo_cmd(message_id);

	cmd.field = NX_C_STORE_RQ;
	cmd.dataset_type = NX_DIMSE_HAS_DATASET;
	(void)snprintf(cmd.sop_class, sizeof(cmd.sop_class), "%s", PEER_CT);
	(void)snprintf(cmd.sop_instance, sizeof(cmd.sop_instance), "1.2.3.%u", message_id);
	nx_cmd_mark(&cmd, NX_CMD_SOP_INSTANCE);
	nx_cmd_mark(&cmd, NX_CMD_PRIORITY);
	return cmd;
}

void peer_data(struct peer *peer, uint8_t context, struct nx_slice bytes, uint32_t max_pdu)
{
	nx_pdu_data_format(&peer->script, context, false, bytes, max_pdu);
}

void peer_echo(struct peer *peer, uint16_t message_id)
{
	struct nx_dimse_cmd cmd = peer_echo_cmd(message_id);

	peer_command(peer, 1, &cmd);
}

void peer_store(struct peer *peer, uint16_t message_id, struct nx_slice bytes)
{
	struct nx_dimse_cmd cmd = peer_store_cmd(message_id);

	peer_command(peer, 3, &cmd);
	peer_data(peer, 3, bytes, 4096);
}

void peer_key(struct peer_identifier *id, uint32_t tag, const char *value)
{
	size_t n = strlen(value), even = n + n % 2;
	uint8_t *to = id->bytes + id->n;
	const uint8_t head[8] = {(uint8_t)(tag >> 16), (uint8_t)(tag >> 24), (uint8_t)tag,
		(uint8_t)(tag >> 8), (uint8_t)even, (uint8_t)(even >> 8), 0, 0};

	assert(id->n + sizeof(head) + even <= sizeof(id->bytes));
	memcpy(to, head, sizeof(head));
	memset(to + sizeof(head), ' ', even);
	memcpy(to + sizeof(head), value, n);
	id->n += sizeof(head) + even;
}

struct peer_identifier peer_level(const char *level)
{
	struct peer_identifier id = {.n = 0};

	peer_key(&id, 0x00080052, level);
	return id;
}

static void query_put(struct peer *peer, uint16_t field, const char *sop_class, uint16_t message_id,
	uint8_t context, struct nx_slice bytes)
{
	struct nx_dimse_cmd cmd = peer_store_cmd(message_id);

	cmd.field = field;
	cmd.present &= ~(1u << NX_CMD_SOP_INSTANCE);
	(void)snprintf(cmd.sop_class, sizeof(cmd.sop_class), "%s", sop_class);
	peer_command(peer, context, &cmd);
	peer_data(peer, context, bytes, 4096);
}

void peer_find(struct peer *peer, uint16_t message_id, uint8_t context, struct nx_slice bytes)
{
	query_put(peer, NX_C_FIND_RQ, context == 9 ? PEER_FIND_PATIENT : PEER_FIND, message_id,
		context, bytes);
}

void peer_get(struct peer *peer, uint16_t message_id, struct nx_slice bytes)
{
	query_put(peer, NX_C_GET_RQ, PEER_GET, message_id, 13, bytes);
}

void peer_cancel(struct peer *peer, uint16_t responded_id, uint8_t context)
{
	struct nx_dimse_cmd cmd = {.field = NX_C_CANCEL_RQ,
		.responded_id = responded_id,
		.dataset_type = NX_DIMSE_NO_DATASET,
		.present =
			1u << NX_CMD_FIELD | 1u << NX_CMD_RESPONDED_ID | 1u << NX_CMD_DATASET_TYPE};

	peer_command(peer, context, &cmd);
}

void peer_release(struct peer *peer)
{
	nx_pdu_short_format(&peer->script, NX_PDU_RELEASE_RQ, (struct nx_pdu_refusal){0});
}

/* ---- the peer as an SCP ---- */

static void reply_put(struct peer *peer, uint16_t message_id)
{
	struct peer_scp *scp = &peer->scp;
	bool odd = !scp->status_at || scp->status_at == message_id;
	struct nx_dimse_cmd rsp = {.field = NX_C_STORE_RQ | NX_DIMSE_RESPONSE,
		.responded_id = scp->wrong_id ? 999 : message_id,
		.dataset_type = NX_DIMSE_NO_DATASET,
		.status = odd ? scp->status : 0,
		.present = 1u << NX_CMD_FIELD | 1u << NX_CMD_RESPONDED_ID |
			1u << NX_CMD_DATASET_TYPE | 1u << NX_CMD_STATUS};
	NX_AUTO_DONE(nx_buf) bytes;

	nx_buf_init(&bytes, NX_MIB, 0);
	nx_cmd_format(&bytes, &rsp);
	nx_pdu_data_format(&peer->mem.replies, scp->context, true, nx_buf_slice(&bytes), 0);
}

static void stored(struct peer *peer)
{
	struct peer_scp *scp = &peer->scp;

	scp->asked++;
	if (scp->asked == scp->silent_at)
		return;
	scp->held[scp->n_held++] = scp->message_id;
	if (scp->late && scp->n_held < scp->window)
		return;
	while (scp->n_held)
		reply_put(peer, scp->held[--scp->n_held]);
}

static void command_seen(struct peer *peer)
{
	struct peer_scp *scp = &peer->scp;
	struct nx_dimse_cmd cmd;
	nx_rc rc = nx_cmd_parse(nx_buf_slice(&scp->command), &cmd, NULL);

	assert(!rc);
	nx_buf_clear(&scp->command);
	scp->message_id = cmd.field == NX_C_STORE_RQ ? cmd.message_id : 0;
	if (cmd.field != NX_C_STORE_RQ)
		return;
	scp->priority = cmd.priority;
	(void)snprintf(scp->last_instance, sizeof(scp->last_instance), "%s", cmd.sop_instance);
}

static void pdv_seen(struct peer *peer, const struct nx_pdv_header *pdv, const uint8_t *p)
{
	struct peer_scp *scp = &peer->scp;

	if (pdv->flags & NX_PDV_COMMAND) {
		scp->context = pdv->context;
		nx_buf_put(&scp->command, p, pdv->len);
		if (pdv->flags & NX_PDV_LAST)
			command_seen(peer);
	} else if (pdv->flags & NX_PDV_LAST && scp->message_id) {
		stored(peer);
		scp->message_id = 0;
	}
}

static void scp_look(void *payload)
{
	struct peer *peer = payload;
	struct nx_slice out = nx_buf_slice(&peer->mem.out);

	while (peer->scp.scanned < out.n) {
		const uint8_t *p = out.p + peer->scp.scanned;
		struct nx_pdu_header pdu = nx_pdu_header_parse(p);
		struct nx_pdv_header pdv;

		peer->scp.scanned += NX_PDU_HEADER_LEN + pdu.len;
		assert(peer->scp.scanned <= out.n);
		if (pdu.type == NX_PDU_DATA && nx_pdv_header_parse(p + NX_PDU_HEADER_LEN, &pdv))
			pdv_seen(peer, &pdv, p + NX_PDU_HEADER_LEN + NX_PDV_HEADER_LEN);
	}
}

void peer_run(struct peer *peer, size_t chunk)
{
	struct mem_io before = peer->mem;
	struct nx_dimse_io io;
	nx_rc rc;

	if (!peer->dimse) {
		rc = nx_dimse_new(&peer->opts, &peer->dimse, NULL);
		assert(!rc);
	}
	mem_io_done(&peer->mem);
	mem_io_init(&peer->mem, nx_buf_slice(&peer->script));
	peer->mem.chunk = chunk;
	peer->mem.end = before.end ? before.end : NX_E_CLOSED;
	peer->mem.writes_good = before.writes_good;
	peer->mem.later = before.later;
	peer->mem.last = before.last;
	peer->mem.later_polls = before.later_polls;
	peer->mem.drains = before.drains;
	peer->mem.drain_before = before.drain_before;
	peer->scp.scanned = 0;
	peer->scp.asked = 0;
	peer->mem.wrote = scp_look;
	peer->mem.payload = peer;
	io = mem_io(&peer->mem);
	nx_assoc_run(peer->dimse, &io);
}

static void commands_take(struct peer_answers *ret, struct nx_slice body, struct nx_buf *command)
{
	struct nx_pdv_header pdv;
	nx_rc rc;

	while (body.n > 0) {
		assert(body.n >= NX_PDV_HEADER_LEN);
		assert(nx_pdv_header_parse(body.p, &pdv));
		assert(pdv.len <= body.n - NX_PDV_HEADER_LEN);
		if (pdv.flags & NX_PDV_COMMAND)
			nx_buf_put(command, body.p + NX_PDV_HEADER_LEN, pdv.len);
		else
			ret->data += pdv.len;
		if ((pdv.flags & NX_PDV_COMMAND) && (pdv.flags & NX_PDV_LAST)) {
			assert(ret->n_rsp < NX_ARRAY_LEN(ret->rsp));
			ret->rsp_context[ret->n_rsp] = pdv.context;
			rc = nx_cmd_parse(nx_buf_slice(command), &ret->rsp[ret->n_rsp++], NULL);
			assert(!rc);
			nx_buf_clear(command);
		}
		body = nx_slice(
			body.p + NX_PDV_HEADER_LEN + pdv.len, body.n - NX_PDV_HEADER_LEN - pdv.len);
	}
}

void peer_answers(const struct peer *peer, struct peer_answers *ret)
{
	NX_AUTO_DONE(nx_buf) command;
	struct mem_reader reader = {nx_buf_slice(&peer->mem.out)};
	struct nx_pdu_header pdu;
	struct nx_slice body;

	nx_buf_init(&command, NX_MIB, 0);
	*ret = (struct peer_answers){0};
	while (mem_pdu_next(&reader, &pdu, &body)) {
		assert(!ret->rejected && !ret->released && !ret->aborted);
		ret->accepted |= pdu.type == NX_PDU_ASSOCIATE_AC;
		ret->rejected = pdu.type == NX_PDU_ASSOCIATE_RJ;
		ret->released = pdu.type == NX_PDU_RELEASE_RP;
		ret->aborted = pdu.type == NX_PDU_ABORT;
		if (ret->rejected || ret->aborted)
			ret->why = (struct nx_pdu_refusal){body.p[1], body.p[2], body.p[3]};
		if (pdu.type != NX_PDU_DATA)
			continue;
		if (pdu.len > ret->longest_pdu)
			ret->longest_pdu = pdu.len;
		commands_take(ret, body, &command);
	}
}
