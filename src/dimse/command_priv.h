/*
 * command_priv.h - DIMSE command sets (PS3.7 E.1), bytes to struct and back.
 *
 * Layer:   4 (dimse).
 * Threads: one thread at a time.
 * PHI:     UIDs and AE titles; none of it goes into errors.
 */
#ifndef NX_DIMSE_COMMAND_PRIV_H
#define NX_DIMSE_COMMAND_PRIV_H

#include <stdint.h>

#include "base/err.h"
#include "base/limits.h"
#include "base/slice.h"

struct nx_buf;

/* PS3.7 E.1-1: Command Field */
enum nx_dimse_field {
	NX_C_STORE_RQ = 0x0001,
	NX_C_GET_RQ = 0x0010,
	NX_C_FIND_RQ = 0x0020,
	NX_C_MOVE_RQ = 0x0021,
	NX_C_ECHO_RQ = 0x0030,
	NX_N_EVENT_REPORT_RQ = 0x0100,
	NX_N_SET_RQ = 0x0120,
	NX_N_ACTION_RQ = 0x0130,
	NX_N_CREATE_RQ = 0x0140,
	NX_C_CANCEL_RQ = 0x0fff,
	NX_DIMSE_RESPONSE = 0x8000, /* set in every response */
};

enum {
	NX_DIMSE_NO_DATASET = 0x0101,
	NX_DIMSE_HAS_DATASET = 0x0001, /* any other value says so */
	NX_DIMSE_COMMENT_MAX = 64,     /* LO */
};

/* Statuses that no nx_rc stands for (PS3.7 Annex C, PS3.4 B.2.3 and C.4). */
enum nx_dimse_status {
	NX_STATUS_SUCCESS = 0x0000,
	NX_STATUS_NO_SUCH_ATTRIBUTE = 0x0105,
	NX_STATUS_INVALID_VALUE = 0x0106,
	NX_STATUS_PROCESSING_FAILURE = 0x0110,
	NX_STATUS_DUPLICATE_INSTANCE = 0x0111,
	NX_STATUS_NO_SUCH_INSTANCE = 0x0112,
	NX_STATUS_NO_SUCH_EVENT = 0x0113,
	NX_STATUS_INVALID_INSTANCE = 0x0117,
	NX_STATUS_MISSING_ATTRIBUTE = 0x0120,
	NX_STATUS_MISSING_VALUE = 0x0121,
	NX_STATUS_CLASS_NOT_SUPPORTED = 0x0122,
	NX_STATUS_NO_SUCH_ACTION = 0x0123,
	NX_STATUS_UNRECOGNIZED_OPERATION = 0x0211,
	NX_STATUS_MISTYPED_ARGUMENT = 0x0212,
	NX_STATUS_RESOURCE_LIMITATION = 0x0213,
	NX_STATUS_OUT_OF_RESOURCES = 0xa700,
	NX_STATUS_NO_COUNT = 0xa701,            /* the number of matches cannot be told */
	NX_STATUS_NO_SUBOPERATIONS = 0xa702,    /* none of them could be done */
	NX_STATUS_DESTINATION_UNKNOWN = 0xa801, /* of C-MOVE */
	NX_STATUS_DATASET_MISMATCH = 0xa900,    /* of a query: the identifier, and the SOP class */
	NX_STATUS_CANNOT_UNDERSTAND = 0xc000,   /* of a query: unable to process */
	NX_STATUS_SOME_FAILED = 0xb000,         /* of sub-operations */
	NX_STATUS_CANCEL = 0xfe00,
	NX_STATUS_PENDING = 0xff00,
	NX_STATUS_PENDING_PARTLY = 0xff01, /* some optional keys are not supported */
};

/* Bits of `present`, in the order of tags. */
enum nx_cmd_bit {
	NX_CMD_SOP_CLASS,
	NX_CMD_FIELD,
	NX_CMD_MESSAGE_ID,
	NX_CMD_RESPONDED_ID,
	NX_CMD_MOVE_DESTINATION,
	NX_CMD_PRIORITY,
	NX_CMD_DATASET_TYPE,
	NX_CMD_STATUS,
	NX_CMD_OFFENDING,
	NX_CMD_COMMENT,
	NX_CMD_ERROR_ID,
	NX_CMD_SOP_INSTANCE,
	NX_CMD_EVENT_TYPE,
	NX_CMD_ACTION_TYPE,
	NX_CMD_REMAINING,
	NX_CMD_COMPLETED,
	NX_CMD_FAILED,
	NX_CMD_WARNING,
	NX_CMD_MOVE_ORIGINATOR,
	NX_CMD_MOVE_ORIGINATOR_ID,
	NX_CMD_BIT_COUNT_
};

struct nx_dimse_cmd {
	uint32_t present;
	uint16_t field;
	uint16_t message_id;
	uint16_t responded_id;
	uint16_t priority;
	uint16_t dataset_type;
	uint16_t status;
	uint16_t error_id;
	uint16_t event_type;
	uint16_t action_type;
	uint16_t remaining;
	uint16_t completed;
	uint16_t failed;
	uint16_t warning;
	uint16_t move_originator_id;
	bool requested;      /* UIDs are written as Requested ones: N-ACTION, N-SET (PS3.7 10.3) */
	bool instance_given; /* there is a SOP Instance UID, which may be none */
	uint32_t offending;  /* the tag of the first offending element */
	char sop_class[NX_LIMIT_UID + 1];
	char sop_instance[NX_LIMIT_UID + 1];
	char move_destination[16 + 1];
	char move_originator[16 + 1];
	char comment[NX_DIMSE_COMMENT_MAX + 1];
};

static inline bool nx_cmd_has(const struct nx_dimse_cmd *cmd, enum nx_cmd_bit bit)
{
	return (cmd->present >> bit & 1u) != 0;
}

static inline void nx_cmd_mark(struct nx_dimse_cmd *cmd, enum nx_cmd_bit bit)
{
	cmd->present |= 1u << bit;
}

static inline bool nx_cmd_has_dataset(const struct nx_dimse_cmd *cmd)
{
	return cmd->dataset_type != NX_DIMSE_NO_DATASET;
}

/*
 * A whole command set: ascending tags of group 0000, Group Length right where it is given, Command
 * Field and Command Data Set Type there.  A UID that is none leaves its bit unset.  NX_E_MALFORMED
 * with tag and offset.
 */
NX_NODISCARD nx_rc nx_cmd_parse(
	struct nx_slice bytes, struct nx_dimse_cmd *ret, struct nx_err *err);
/* What is marked as present, with Group Length before it. */
void nx_cmd_format(struct nx_buf *out, const struct nx_dimse_cmd *cmd);

/* A response to `rq` with this status: ids and UIDs as PS3.7 9.3 wants them, no data set. */
void nx_cmd_response(struct nx_dimse_cmd *ret, const struct nx_dimse_cmd *rq, unsigned status);

#endif
