#include "dimse/pdu_priv.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/rd.h"

/*
 * A-ASSOCIATE-RQ and -AC (PS3.8 9.3.2, 9.3.3), big endian:
 *
 *   1 type, 1 reserved, 4 length | 2 version, 2 reserved, 16 called, 16 calling, 32 reserved |
 * items item: 1 type, 1 reserved, 2 length | value
 */
enum {
	ITEM_APPLICATION = 0x10,
	ITEM_CONTEXT_RQ = 0x20,
	ITEM_CONTEXT_AC = 0x21,
	ITEM_ABSTRACT = 0x30,
	ITEM_TS = 0x40,
	ITEM_USER = 0x50,
	ITEM_MAX_PDU = 0x51,
	ITEM_IMPL_UID = 0x52,
	ITEM_WINDOW = 0x53,
	ITEM_ROLE = 0x54,
	ITEM_IMPL_VERSION = 0x55,
	ITEM_EXTENDED = 0x56,
	ITEM_IDENTITY_RQ = 0x58,
	ITEM_IDENTITY_AC = 0x59,
	RESERVED_LEN = 32,
	IMPL_VERSION_MAX = 16,
};

struct item {
	uint8_t type;
	struct nx_rd body;
};

struct nx_pdu_header nx_pdu_header_parse(const uint8_t p[NX_PDU_HEADER_LEN])
{
	return (struct nx_pdu_header){
		.type = p[0],
		.len = (uint32_t)p[2] << 24 | (uint32_t)p[3] << 16 | (uint32_t)p[4] << 8 | p[5],
	};
}

bool nx_pdv_header_parse(const uint8_t p[NX_PDV_HEADER_LEN], struct nx_pdv_header *ret)
{
	uint32_t len = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];

	if (len < 2 || len % 2)
		return false;
	*ret = (struct nx_pdv_header){.len = len - 2, .context = p[4], .flags = p[5]};
	return true;
}

bool nx_pdu_uid(struct nx_slice raw, char ret[NX_LIMIT_UID + 1])
{
	while (raw.n > 0 && (raw.p[raw.n - 1] == '\0' || raw.p[raw.n - 1] == ' '))
		raw.n--;
	if (raw.n == 0 || raw.n > NX_LIMIT_UID)
		return false;
	for (size_t i = 0; i < raw.n; i++) {
		if (raw.p[i] != '.' && (raw.p[i] < '0' || raw.p[i] > '9'))
			return false;
	}
	memcpy(ret, raw.p, raw.n);
	ret[raw.n] = '\0';
	return true;
}

/* Leading and trailing spaces do not count (PS3.8 9.3.2); some senders pad with NUL.  What is
 * behind a NUL would be in no comparison: false. */
static bool title_take(const uint8_t raw[NX_AE_TITLE_LEN], char ret[NX_AE_TITLE_LEN + 1])
{
	size_t from = 0;
	size_t to = NX_AE_TITLE_LEN;

	while (to > 0 && (raw[to - 1] == ' ' || raw[to - 1] == '\0'))
		to--;
	while (from < to && raw[from] == ' ')
		from++;
	memcpy(ret, raw + from, to - from);
	ret[to - from] = '\0';
	return !memchr(ret, '\0', to - from);
}

/* False at the end; a piece that is no item leaves bytes in `rd`. */
static bool item_next(struct nx_rd *rd, struct item *ret)
{
	struct nx_rd at = *rd;
	struct nx_slice body;
	uint8_t type;
	uint16_t len;

	if (!nx_rd_u8(&at, &type) || !nx_rd_skip(&at, 1) || !nx_rd_u16be(&at, &len) ||
		!nx_rd_bytes(&at, len, &body))
		return false;
	*ret = (struct item){.type = type, .body = nx_rd(body)};
	*rd = at;
	return true;
}

static size_t items_count(struct nx_rd rd, uint8_t type)
{
	struct item item;
	size_t n = 0;

	while (item_next(&rd, &item))
		n += item.type == type;
	return n;
}

/* "" where the bytes are no UID; NULL without memory. */
static const char *uid_copy(struct nx_arena *arena, struct nx_rd body)
{
	char uid[NX_LIMIT_UID + 1];

	if (!nx_pdu_uid(nx_slice(body.p, body.n), uid))
		return "";
	return nx_arena_str(arena, uid, strlen(uid));
}

static nx_rc no_memory(struct nx_err *err)
{
	return nx_err_set(err, NX_E_NOMEM, "no memory for association");
}

static nx_rc cut_item(struct nx_err *err, uint8_t type)
{
	return nx_err_set(err, NX_E_MALFORMED, "item runs past the end of item %02xH", type);
}

static nx_rc context_parse(
	struct item item, struct nx_arena *arena, struct nx_pdu_context *ret, struct nx_err *err)
{
	struct nx_pdu_context c = {.abstract = ""};
	struct item sub;
	const char *uid;

	if (!nx_rd_u8(&item.body, &c.id) || !nx_rd_skip(&item.body, 1) ||
		!nx_rd_u8(&item.body, &c.result) || !nx_rd_skip(&item.body, 1))
		return cut_item(err, item.type);
	if (c.id % 2 == 0)
		return nx_err_set(err, NX_E_MALFORMED, "presentation context id %u is even", c.id);
	c.ts = nx_arena_alloc_array(arena, items_count(item.body, ITEM_TS) + 1, sizeof(*c.ts));
	if (!c.ts)
		return no_memory(err);
	while (item_next(&item.body, &sub)) {
		if (sub.type != ITEM_ABSTRACT && sub.type != ITEM_TS)
			continue;
		uid = uid_copy(arena, sub.body);
		if (!uid)
			return no_memory(err);
		if (sub.type == ITEM_ABSTRACT)
			c.abstract = uid;
		else if (*uid)
			c.ts[c.n_ts++] = uid;
	}
	if (item.body.n > 0)
		return cut_item(err, item.type);
	*ret = c;
	return NX_OK;
}

static nx_rc role_parse(
	struct item item, struct nx_arena *arena, struct nx_pdu_associate *a, struct nx_err *err)
{
	struct nx_slice uid;
	uint16_t len;
	uint8_t scu;
	uint8_t scp;
	const char *sop_class;

	if (!nx_rd_u16be(&item.body, &len) || !nx_rd_bytes(&item.body, len, &uid) ||
		!nx_rd_u8(&item.body, &scu) || !nx_rd_u8(&item.body, &scp))
		return cut_item(err, item.type);
	sop_class = uid_copy(arena, nx_rd(uid));
	if (!sop_class)
		return no_memory(err);
	a->roles[a->n_roles++] = (struct nx_pdu_role){sop_class, scu == 1, scp == 1};
	return NX_OK;
}

static nx_rc extended_parse(
	struct item item, struct nx_arena *arena, struct nx_pdu_associate *a, struct nx_err *err)
{
	struct nx_pdu_extended *e = &a->extended[a->n_extended];
	struct nx_slice uid;
	uint16_t len;

	if (!nx_rd_u16be(&item.body, &len) || !nx_rd_bytes(&item.body, len, &uid))
		return cut_item(err, item.type);
	e->sop_class = uid_copy(arena, nx_rd(uid));
	if (!e->sop_class)
		return no_memory(err);
	e->n = item.body.n < NX_EXTENDED_MAX ? (uint8_t)item.body.n : NX_EXTENDED_MAX;
	memcpy(e->info, item.body.p, e->n);
	a->n_extended++;
	return NX_OK;
}

static nx_rc identity_parse(struct item item, struct nx_pdu_associate *a, struct nx_err *err)
{
	struct nx_slice *fields[] = {&a->identity, &a->identity_secret};
	uint16_t len;
	uint8_t asked = 0;

	a->has_identity = true;
	if (item.type == ITEM_IDENTITY_RQ &&
		(!nx_rd_u8(&item.body, &a->identity_type) || !nx_rd_u8(&item.body, &asked)))
		return cut_item(err, item.type);
	a->identity_response = asked == 1;
	for (size_t i = 0; i < (item.type == ITEM_IDENTITY_RQ ? 2 : 1); i++) {
		if (!nx_rd_u16be(&item.body, &len) || !nx_rd_bytes(&item.body, len, fields[i]))
			return cut_item(err, item.type);
	}
	return NX_OK;
}

static nx_rc version_parse(
	struct item item, struct nx_arena *arena, struct nx_pdu_associate *a, struct nx_err *err)
{
	char text[IMPL_VERSION_MAX + 1] = "";

	for (size_t i = 0; i < item.body.n && i < IMPL_VERSION_MAX; i++)
		text[i] = (char)(item.body.p[i] > 0x20 && item.body.p[i] < 0x7f ? item.body.p[i]
										: ' ');
	a->implementation_version = nx_arena_str(arena, text, strlen(text));
	return a->implementation_version ? NX_OK : no_memory(err);
}

static nx_rc user_item_parse(
	struct item item, struct nx_arena *arena, struct nx_pdu_associate *a, struct nx_err *err)
{
	switch (item.type) {
	case ITEM_MAX_PDU:
		return nx_rd_u32be(&item.body, &a->max_pdu) ? NX_OK : cut_item(err, item.type);
	case ITEM_IMPL_UID:
		a->implementation_uid = uid_copy(arena, item.body);
		return a->implementation_uid ? NX_OK : no_memory(err);
	case ITEM_WINDOW:
		a->has_window = true;
		return nx_rd_u16be(&item.body, &a->max_invoked) &&
				nx_rd_u16be(&item.body, &a->max_performed)
			? NX_OK
			: cut_item(err, item.type);
	case ITEM_ROLE:
		return role_parse(item, arena, a, err);
	case ITEM_IMPL_VERSION:
		return version_parse(item, arena, a, err);
	case ITEM_IDENTITY_RQ:
	case ITEM_IDENTITY_AC:
		return identity_parse(item, a, err);
	case ITEM_EXTENDED:
		return extended_parse(item, arena, a, err);
	default:
		return NX_OK; /* PS3.8 9.3.1: items that are not known are skipped */
	}
}

static nx_rc user_parse(
	struct item item, struct nx_arena *arena, struct nx_pdu_associate *a, struct nx_err *err)
{
	struct item sub;
	nx_rc rc;

	if (a->roles)
		return nx_err_set(err, NX_E_MALFORMED, "user information comes twice");
	a->roles = nx_arena_alloc_array(
		arena, items_count(item.body, ITEM_ROLE) + 1, sizeof(*a->roles));
	a->extended = nx_arena_alloc_array(
		arena, items_count(item.body, ITEM_EXTENDED) + 1, sizeof(*a->extended));
	if (!a->roles || !a->extended)
		return no_memory(err);
	while (item_next(&item.body, &sub)) {
		rc = user_item_parse(sub, arena, a, err);
		if (rc)
			return rc;
	}
	return item.body.n > 0 ? cut_item(err, item.type) : NX_OK;
}

static nx_rc context_add(
	struct item item, struct nx_arena *arena, struct nx_pdu_associate *a, struct nx_err *err)
{
	struct nx_pdu_context *c = &a->contexts[a->n_contexts];
	nx_rc rc;

	if (a->n_contexts == NX_LIMIT_PRES_CONTEXTS)
		return nx_err_set(err, NX_E_MALFORMED, "more than %u presentation contexts",
			NX_LIMIT_PRES_CONTEXTS);
	rc = context_parse(item, arena, c, err);
	if (rc)
		return rc;
	for (size_t i = 0; i < a->n_contexts; i++) {
		if (a->contexts[i].id == c->id)
			return nx_err_set(err, NX_E_MALFORMED,
				"presentation context id %u comes twice", c->id);
	}
	a->n_contexts++;
	return NX_OK;
}

static nx_rc item_parse(struct item item, uint8_t context_type, struct nx_arena *arena,
	struct nx_pdu_associate *a, struct nx_err *err)
{
	if (item.type == ITEM_APPLICATION) {
		a->application_context = uid_copy(arena, item.body);
		return a->application_context ? NX_OK : no_memory(err);
	}
	if (item.type == context_type)
		return context_add(item, arena, a, err);
	if (item.type == ITEM_USER)
		return user_parse(item, arena, a, err);
	return NX_OK;
}

nx_rc nx_pdu_associate_parse(struct nx_slice body, uint8_t type, struct nx_arena *arena,
	struct nx_pdu_associate *ret, struct nx_err *err)
{
	struct nx_pdu_associate a = {
		.application_context = "", .implementation_uid = "", .implementation_version = ""};
	uint8_t titles[2][NX_AE_TITLE_LEN];
	struct nx_rd rd = nx_rd(body);
	struct item item;
	nx_rc rc;

	if (!nx_rd_u16be(&rd, &a.version) || !nx_rd_skip(&rd, 2) ||
		!nx_rd_copy(&rd, titles, sizeof(titles)) || !nx_rd_skip(&rd, RESERVED_LEN))
		return nx_err_set(err, NX_E_MALFORMED, "association PDU of %zu bytes", body.n);
	if (!title_take(titles[0], a.called) || !title_take(titles[1], a.calling))
		return nx_err_set(err, NX_E_MALFORMED, "association PDU: a NUL inside an AE title");
	a.contexts = nx_arena_alloc_array(arena, NX_LIMIT_PRES_CONTEXTS, sizeof(*a.contexts));
	if (!a.contexts)
		return no_memory(err);
	while (item_next(&rd, &item)) {
		rc = item_parse(item,
			type == NX_PDU_ASSOCIATE_RQ ? ITEM_CONTEXT_RQ : ITEM_CONTEXT_AC, arena, &a,
			err);
		if (rc)
			return rc;
	}
	if (rd.n > 0)
		return nx_err_set(err, NX_E_MALFORMED,
			"item runs past the end of the association PDU at offset %zu",
			body.n - rd.n);
	*ret = a;
	return NX_OK;
}

/* ---- formatting: lengths are filled in when the end is known ---- */

static size_t item_begin(struct nx_buf *out, uint8_t type)
{
	nx_buf_put_u8(out, type);
	nx_buf_put_u8(out, 0);
	nx_buf_put_u16be(out, 0);
	return out->len;
}

static void item_end(struct nx_buf *out, size_t from)
{
	size_t n = out->len - from;

	if (out->failed)
		return;
	out->data[from - 2] = (uint8_t)(n >> 8);
	out->data[from - 1] = (uint8_t)n;
}

static void item_put(struct nx_buf *out, uint8_t type, const void *p, size_t n)
{
	size_t at = item_begin(out, type);

	nx_buf_put(out, p, n);
	item_end(out, at);
}

static void item_put_str(struct nx_buf *out, uint8_t type, const char *s)
{
	item_put(out, type, s, strlen(s));
}

static void title_put(struct nx_buf *out, const char *title)
{
	size_t n = strnlen(title, NX_AE_TITLE_LEN);

	nx_buf_put(out, title, n);
	for (; n < NX_AE_TITLE_LEN; n++)
		nx_buf_put_u8(out, ' ');
}

static void context_put(struct nx_buf *out, uint8_t type, const struct nx_pdu_context *c)
{
	bool rq = type == NX_PDU_ASSOCIATE_RQ;
	size_t at = item_begin(out, rq ? ITEM_CONTEXT_RQ : ITEM_CONTEXT_AC);

	nx_buf_put_u8(out, c->id);
	nx_buf_put_u8(out, 0);
	nx_buf_put_u8(out, rq ? 0 : c->result);
	nx_buf_put_u8(out, 0);
	if (rq)
		item_put_str(out, ITEM_ABSTRACT, c->abstract);
	for (size_t i = 0; i < c->n_ts; i++)
		item_put_str(out, ITEM_TS, c->ts[i]);
	item_end(out, at);
}

static void role_put(struct nx_buf *out, const struct nx_pdu_role *role)
{
	size_t at = item_begin(out, ITEM_ROLE);

	nx_buf_put_u16be(out, (uint16_t)strlen(role->sop_class));
	nx_buf_put_str(out, role->sop_class);
	nx_buf_put_u8(out, role->scu);
	nx_buf_put_u8(out, role->scp);
	item_end(out, at);
}

static void extended_put(struct nx_buf *out, const struct nx_pdu_extended *e)
{
	size_t at = item_begin(out, ITEM_EXTENDED);

	nx_buf_put_u16be(out, (uint16_t)strlen(e->sop_class));
	nx_buf_put_str(out, e->sop_class);
	nx_buf_put(out, e->info, e->n);
	item_end(out, at);
}

static void window_put(struct nx_buf *out, uint16_t invoked, uint16_t performed)
{
	size_t at = item_begin(out, ITEM_WINDOW);

	nx_buf_put_u16be(out, invoked);
	nx_buf_put_u16be(out, performed);
	item_end(out, at);
}

static void max_pdu_put(struct nx_buf *out, uint32_t max_pdu)
{
	size_t at = item_begin(out, ITEM_MAX_PDU);

	nx_buf_put_u32be(out, max_pdu);
	item_end(out, at);
}

static void identity_put(struct nx_buf *out, uint8_t type, const struct nx_pdu_associate *a)
{
	static const uint8_t empty_response[2] = {0, 0};
	size_t at;

	if (type == NX_PDU_ASSOCIATE_AC) {
		item_put(out, ITEM_IDENTITY_AC, empty_response, sizeof(empty_response));
		return;
	}
	at = item_begin(out, ITEM_IDENTITY_RQ);
	nx_buf_put_u8(out, a->identity_type);
	nx_buf_put_u8(out, a->identity_response);
	nx_buf_put_u16be(out, (uint16_t)a->identity.n);
	nx_buf_put(out, a->identity.p, a->identity.n);
	nx_buf_put_u16be(out, (uint16_t)a->identity_secret.n);
	nx_buf_put(out, a->identity_secret.p, a->identity_secret.n);
	item_end(out, at);
}

/* Sub-items in ascending order of type, as PS3.7 Annex D lists them. */
static void user_put(struct nx_buf *out, uint8_t type, const struct nx_pdu_associate *a)
{
	size_t at = item_begin(out, ITEM_USER);

	max_pdu_put(out, a->max_pdu);
	item_put_str(out, ITEM_IMPL_UID, a->implementation_uid);
	if (a->has_window)
		window_put(out, a->max_invoked, a->max_performed);
	for (size_t i = 0; i < a->n_roles; i++)
		role_put(out, &a->roles[i]);
	if (a->implementation_version && *a->implementation_version)
		item_put_str(out, ITEM_IMPL_VERSION, a->implementation_version);
	for (size_t i = 0; i < a->n_extended; i++)
		extended_put(out, &a->extended[i]);
	if (a->has_identity)
		identity_put(out, type, a);
	item_end(out, at);
}

static void header_put(struct nx_buf *out, uint8_t type, uint32_t len)
{
	nx_buf_put_u8(out, type);
	nx_buf_put_u8(out, 0);
	nx_buf_put_u32be(out, len);
}

void nx_pdu_associate_format(struct nx_buf *out, uint8_t type, const struct nx_pdu_associate *a)
{
	size_t at = out->len;
	size_t n;

	header_put(out, type, 0);
	nx_buf_put_u16be(out, a->version);
	nx_buf_put_zero(out, 2);
	title_put(out, a->called);
	title_put(out, a->calling);
	nx_buf_put_zero(out, RESERVED_LEN);
	item_put_str(out, ITEM_APPLICATION, a->application_context);
	for (size_t i = 0; i < a->n_contexts; i++)
		context_put(out, type, &a->contexts[i]);
	user_put(out, type, a);
	if (out->failed)
		return;
	n = out->len - at - NX_PDU_HEADER_LEN;
	for (size_t i = 0; i < 4; i++)
		out->data[at + 2 + i] = (uint8_t)(n >> (24 - 8 * i));
}

void nx_pdu_short_format(struct nx_buf *out, uint8_t type, struct nx_pdu_refusal refusal)
{
	header_put(out, type, NX_PDU_SHORT_LEN);
	nx_buf_put_u8(out, 0);
	nx_buf_put_u8(out, refusal.result);
	nx_buf_put_u8(out, refusal.source);
	nx_buf_put_u8(out, refusal.reason);
}

uint32_t nx_pdu_fragment_max(uint32_t max_pdu)
{
	if (max_pdu == 0 || max_pdu > NX_PDU_SEND_MAX)
		max_pdu = NX_PDU_SEND_MAX;
	return (max_pdu - NX_PDV_HEADER_LEN) & ~1u;
}

void nx_pdu_data_header(uint8_t ret[NX_PDU_HEADER_LEN + NX_PDV_HEADER_LEN], uint8_t context,
	uint8_t flags, uint32_t n)
{
	uint32_t pdu_len = n + NX_PDV_HEADER_LEN;
	uint32_t pdv_len = n + 2;

	ret[0] = NX_PDU_DATA;
	ret[1] = 0;
	for (int i = 0; i < 4; i++) {
		ret[2 + i] = (uint8_t)(pdu_len >> (24 - 8 * i));
		ret[6 + i] = (uint8_t)(pdv_len >> (24 - 8 * i));
	}
	ret[10] = context;
	ret[11] = flags;
}

void nx_pdu_data_format(
	struct nx_buf *out, uint8_t context, bool command, struct nx_slice bytes, uint32_t max_pdu)
{
	uint8_t header[NX_PDU_HEADER_LEN + NX_PDV_HEADER_LEN];
	uint32_t most = nx_pdu_fragment_max(max_pdu);
	uint32_t n;

	do {
		n = bytes.n > most ? most : (uint32_t)bytes.n;
		nx_pdu_data_header(header, context,
			(uint8_t)((command ? NX_PDV_COMMAND : 0) |
				(n == bytes.n ? NX_PDV_LAST : 0)),
			n);
		nx_buf_put(out, header, sizeof(header));
		nx_buf_put(out, bytes.p, n);
		bytes = nx_slice(bytes.p + n, bytes.n - n);
	} while (bytes.n > 0);
}
