#include "dimse/command_priv.h"

#include "base/buf.h"
#include "base/rd.h"
#include "dimse/pdu_priv.h"

/*
 * A command set is implicit VR little endian, always (PS3.7 6.3.1):
 *
 *   2 group (0000), 2 element, 4 length | value
 */
enum {
	ELEM_GROUP_LENGTH = 0x0000,
	ELEM_AFFECTED_CLASS = 0x0002,
	ELEM_AFFECTED_INSTANCE = 0x1000,
};

enum kind {
	KIND_US,
	KIND_UI,
	KIND_AE,
	KIND_LO,
	KIND_AT
};

struct element {
	uint16_t number;
	uint16_t offset;
	enum kind kind;
	enum nx_cmd_bit bit;
};

#define AT(member) offsetof(struct nx_dimse_cmd, member)

/* Affected and Requested UIDs share a member: a command has the one or the other.  The first of
 * two rows for a bit is the one that is written, the second where `requested` says so. */
static const struct element elements[] = {
	{0x0002, AT(sop_class), KIND_UI, NX_CMD_SOP_CLASS},
	{0x0003, AT(sop_class), KIND_UI, NX_CMD_SOP_CLASS},
	{0x0100, AT(field), KIND_US, NX_CMD_FIELD},
	{0x0110, AT(message_id), KIND_US, NX_CMD_MESSAGE_ID},
	{0x0120, AT(responded_id), KIND_US, NX_CMD_RESPONDED_ID},
	{0x0600, AT(move_destination), KIND_AE, NX_CMD_MOVE_DESTINATION},
	{0x0700, AT(priority), KIND_US, NX_CMD_PRIORITY},
	{0x0800, AT(dataset_type), KIND_US, NX_CMD_DATASET_TYPE},
	{0x0900, AT(status), KIND_US, NX_CMD_STATUS},
	{0x0901, AT(offending), KIND_AT, NX_CMD_OFFENDING},
	{0x0902, AT(comment), KIND_LO, NX_CMD_COMMENT},
	{0x0903, AT(error_id), KIND_US, NX_CMD_ERROR_ID},
	{0x1000, AT(sop_instance), KIND_UI, NX_CMD_SOP_INSTANCE},
	{0x1001, AT(sop_instance), KIND_UI, NX_CMD_SOP_INSTANCE},
	{0x1002, AT(event_type), KIND_US, NX_CMD_EVENT_TYPE},
	{0x1008, AT(action_type), KIND_US, NX_CMD_ACTION_TYPE},
	{0x1020, AT(remaining), KIND_US, NX_CMD_REMAINING},
	{0x1021, AT(completed), KIND_US, NX_CMD_COMPLETED},
	{0x1022, AT(failed), KIND_US, NX_CMD_FAILED},
	{0x1023, AT(warning), KIND_US, NX_CMD_WARNING},
	{0x1030, AT(move_originator), KIND_AE, NX_CMD_MOVE_ORIGINATOR},
	{0x1031, AT(move_originator_id), KIND_US, NX_CMD_MOVE_ORIGINATOR_ID},
};

#undef AT

_Static_assert(NX_CMD_BIT_COUNT_ <= 32, "present is 32 bits wide");

static const struct element *element_find(uint16_t number)
{
	for (size_t i = 0; i < NX_ARRAY_LEN(elements); i++) {
		if (elements[i].number == number)
			return &elements[i];
	}
	return NULL;
}

/* Text without padding; characters outside printable ASCII and backslash become '?'. */
static size_t text_take(struct nx_slice value, char *ret, size_t max)
{
	size_t n = 0;

	while (value.n > 0 && (value.p[value.n - 1] == ' ' || value.p[value.n - 1] == '\0'))
		value.n--;
	while (value.n > 0 && *value.p == ' ')
		value = nx_slice(value.p + 1, value.n - 1);
	for (; n < value.n && n < max; n++)
		ret[n] = (char)(value.p[n] >= 0x20 && value.p[n] < 0x7f && value.p[n] != '\\'
				? value.p[n]
				: '?');
	ret[n] = '\0';
	return value.n;
}

/* False where the value does not fit its VR. */
static bool value_take(
	const struct element *e, struct nx_slice value, struct nx_dimse_cmd *cmd, bool *ret_valid)
{
	struct nx_rd rd = nx_rd(value);
	char *to = (char *)cmd + e->offset;
	uint16_t us;
	uint16_t low = 0;

	*ret_valid = true;
	switch (e->kind) {
	case KIND_US:
		if (value.n != 2 || !nx_rd_u16le(&rd, &us))
			return false;
		memcpy(to, &us, sizeof(us));
		return true;
	case KIND_UI:
		*ret_valid = nx_pdu_uid(value, to);
		cmd->instance_given |= e->bit == NX_CMD_SOP_INSTANCE && value.n > 0;
		return true;
	case KIND_AE:
		return text_take(value, to, NX_AE_TITLE_LEN) <= NX_AE_TITLE_LEN;
	case KIND_LO:
		(void)text_take(value, to, NX_DIMSE_COMMENT_MAX);
		return true;
	case KIND_AT:
		*ret_valid = nx_rd_u16le(&rd, &us) && nx_rd_u16le(&rd, &low);
		if (*ret_valid)
			cmd->offending = (uint32_t)us << 16 | low;
		return true;
	}
	return false;
}

static nx_rc group_length_check(struct nx_slice value, size_t rest, struct nx_err *err)
{
	struct nx_rd rd = nx_rd(value);
	uint32_t said;

	if (value.n != 4 || !nx_rd_u32le(&rd, &said))
		return nx_err_set(
			err, NX_E_MALFORMED, "command group length of %zu bytes", value.n);
	if (said != rest)
		return nx_err_set(
			err, NX_E_MALFORMED, "command group length %u, but %zu follow", said, rest);
	return NX_OK;
}

static nx_rc element_take(uint16_t number, struct nx_slice value, size_t rest,
	struct nx_dimse_cmd *cmd, struct nx_err *err)
{
	const struct element *e;
	bool valid;

	if (number == ELEM_GROUP_LENGTH)
		return group_length_check(value, rest, err);
	e = element_find(number);
	if (!e)
		return NX_OK; /* retired, or of a service that we do not have */
	if (!value_take(e, value, cmd, &valid))
		return nx_err_set(err, NX_E_MALFORMED, "command element (0000,%04X) of %zu bytes",
			number, value.n);
	if (valid)
		nx_cmd_mark(cmd, e->bit);
	return NX_OK;
}

nx_rc nx_cmd_parse(struct nx_slice bytes, struct nx_dimse_cmd *ret, struct nx_err *err)
{
	struct nx_dimse_cmd cmd = {0};
	struct nx_rd rd = nx_rd(bytes);
	struct nx_slice value;
	int last = -1;
	nx_rc rc;

	while (rd.n > 0) {
		size_t at = bytes.n - rd.n;
		uint16_t group;
		uint16_t number;
		uint32_t len;

		if (!nx_rd_u16le(&rd, &group) || !nx_rd_u16le(&rd, &number) ||
			!nx_rd_u32le(&rd, &len) || !nx_rd_bytes(&rd, len, &value))
			return nx_err_set(err, NX_E_MALFORMED,
				"command set is cut in the element at offset %zu", at);
		if (group != 0 || number <= last)
			return nx_err_set(err, NX_E_MALFORMED,
				"(%04X,%04X) is out of place in a command set, offset %zu", group,
				number, at);
		last = number;
		rc = element_take(number, value, rd.n, &cmd, err);
		if (rc)
			return rc;
	}
	if (!nx_cmd_has(&cmd, NX_CMD_FIELD) || !nx_cmd_has(&cmd, NX_CMD_DATASET_TYPE))
		return nx_err_set(
			err, NX_E_MALFORMED, "command set without command field or data set type");
	*ret = cmd;
	return NX_OK;
}

static void head_put(struct nx_buf *out, uint16_t number, size_t len)
{
	nx_buf_put_u16le(out, 0);
	nx_buf_put_u16le(out, number);
	nx_buf_put_u32le(out, (uint32_t)len);
}

static void text_put(struct nx_buf *out, uint16_t number, const char *s, char pad)
{
	size_t n = strlen(s);

	head_put(out, number, n + n % 2);
	nx_buf_put(out, s, n);
	if (n % 2)
		nx_buf_put_u8(out, (uint8_t)pad);
}

static void element_put(struct nx_buf *out, const struct element *e, const struct nx_dimse_cmd *cmd)
{
	const char *from = (const char *)cmd + e->offset;
	uint16_t us;

	switch (e->kind) {
	case KIND_US:
		memcpy(&us, from, sizeof(us));
		head_put(out, e->number, 2);
		nx_buf_put_u16le(out, us);
		return;
	case KIND_UI:
		text_put(out, e->number, from, '\0');
		return;
	case KIND_AE:
	case KIND_LO:
		text_put(out, e->number, from, ' ');
		return;
	case KIND_AT:
		head_put(out, e->number, 4);
		nx_buf_put_u16le(out, (uint16_t)(cmd->offending >> 16));
		nx_buf_put_u16le(out, (uint16_t)cmd->offending);
		return;
	}
}

void nx_cmd_format(struct nx_buf *out, const struct nx_dimse_cmd *cmd)
{
	uint32_t left = cmd->present;
	size_t at = out->len;
	size_t n;

	head_put(out, ELEM_GROUP_LENGTH, 4);
	nx_buf_put_u32le(out, 0);
	for (size_t i = 0; i < NX_ARRAY_LEN(elements); i++) {
		bool affected = elements[i].number == ELEM_AFFECTED_CLASS ||
			elements[i].number == ELEM_AFFECTED_INSTANCE;

		if (!(left >> elements[i].bit & 1u) || (affected && cmd->requested))
			continue;
		left &= ~(1u << elements[i].bit);
		element_put(out, &elements[i], cmd);
	}
	if (out->failed)
		return;
	n = out->len - at - 12;
	for (size_t i = 0; i < 4; i++)
		out->data[at + 8 + i] = (uint8_t)(n >> (8 * i));
}

void nx_cmd_response(struct nx_dimse_cmd *ret, const struct nx_dimse_cmd *rq, unsigned status)
{
	static const enum nx_cmd_bit kept[] = {NX_CMD_SOP_CLASS, NX_CMD_SOP_INSTANCE};

	*ret = (struct nx_dimse_cmd){
		.field = (uint16_t)(rq->field | NX_DIMSE_RESPONSE),
		.responded_id = rq->message_id,
		.dataset_type = NX_DIMSE_NO_DATASET,
		.status = (uint16_t)status,
	};
	memcpy(ret->sop_class, rq->sop_class, sizeof(ret->sop_class));
	memcpy(ret->sop_instance, rq->sop_instance, sizeof(ret->sop_instance));
	ret->present = 1u << NX_CMD_FIELD | 1u << NX_CMD_RESPONDED_ID | 1u << NX_CMD_DATASET_TYPE |
		1u << NX_CMD_STATUS;
	for (size_t i = 0; i < NX_ARRAY_LEN(kept); i++) {
		if (nx_cmd_has(rq, kept[i]))
			nx_cmd_mark(ret, kept[i]);
	}
}
