/*
 * dimse_priv.h - one association: its state, its operations, and the table of services.
 *
 * Layer:   4 (dimse).
 * Threads: a struct nx_assoc belongs to one thread; struct nx_dimse is shared under its lock.
 * PHI:     data sets pass through.
 */
#ifndef NX_DIMSE_DIMSE_PRIV_H
#define NX_DIMSE_DIMSE_PRIV_H

#include <stdint.h>

#include "base/buf.h"
#include "dimse/command_priv.h"
#include "dimse/dimse.h"
#include "dimse/io_priv.h"
#include "dimse/pdu_priv.h"

struct nx_arena;
struct nx_assoc;
struct nx_dimse_op;

enum {
	NX_ASYNC_MAX = 64,
};

/* ---- services: one row each; a new one is a row and a file with its handlers ---- */

enum nx_dimse_roles {
	NX_ROLE_SCP = 1, /* the peer may ask us */
	NX_ROLE_SCU = 2, /* we may ask the peer, on its association (C-GET sub-operations) */
};

struct nx_dimse_service {
	uint16_t field; /* Command Field of the request */
	const char *name;
	bool (*match)(const char *sop_class); /* abstract syntaxes of the row */
	const char *permission; /* word of the access policy; who checks it: see `authorized_by` */
	const char *action;     /* word of the ledger */
	const char *authorized_by; /* "door": the handler asks opts.authorize; "ingest",
				      "retrieve": that service decides and records */
	unsigned roles;
	bool dataset;         /* the request has one */
	uint32_t dataset_max; /* where it is gathered: most bytes; 0: NX_LIMIT_IDENTIFIER */
	/* Can data sets on its contexts be in this transfer syntax?  NULL: in any. */
	bool (*ts)(const char *uid);
	/* SOP class extended negotiation (PS3.7 D.3.3.5): what is answered.  Where the bytes are
	 * `flags`, each is granted only where the peer asks. */
	uint8_t extended[NX_EXTENDED_MAX];
	uint8_t n_extended; /* 0: not answered */
	bool extended_flags;

	/* All optional but finish.  begin: the command is here.  data: bytes of the data set as
	 * they arrive.  end: all of them came.  finish: answer; called in the order of requests,
	 * later than end where a window of operations was negotiated.  drop: release op->state;
	 * always called last.  begin, data and end report trouble by nx_op_fail(): the rest of the
	 * data set is then passed over, and finish answers. */
	void (*begin)(struct nx_assoc *assoc, struct nx_dimse_op *op);
	void (*data)(struct nx_assoc *assoc, struct nx_dimse_op *op, struct nx_slice bytes);
	void (*end)(struct nx_assoc *assoc, struct nx_dimse_op *op);
	nx_rc (*finish)(struct nx_assoc *assoc, struct nx_dimse_op *op, struct nx_err *err);
	void (*drop)(struct nx_dimse_op *op);
};

/* Ends with a row whose name is NULL. */
extern const struct nx_dimse_service nx_dimse_services[];
/* The row for a request on a context of this SOP class, or NULL. */
const struct nx_dimse_service *nx_service_find(uint16_t field, const char *sop_class);
bool nx_service_has_field(uint16_t field);
/* The roles that rows have with this SOP class; 0: not supported. */
unsigned nx_service_roles(const char *sop_class);
/* The first row with this SOP class that has extended negotiation, or NULL. */
const struct nx_dimse_service *nx_service_extended(const char *sop_class);
/* Is there a row for the SOP class that takes this transfer syntax? */
bool nx_service_takes(const char *sop_class, const char *ts_uid);

bool nx_echo_match(const char *sop_class);
nx_rc nx_echo_finish(struct nx_assoc *assoc, struct nx_dimse_op *op, struct nx_err *err);

bool nx_store_match(const char *sop_class);
void nx_store_begin(struct nx_assoc *assoc, struct nx_dimse_op *op);
void nx_store_data(struct nx_assoc *assoc, struct nx_dimse_op *op, struct nx_slice bytes);
void nx_store_end(struct nx_assoc *assoc, struct nx_dimse_op *op);
nx_rc nx_store_finish(struct nx_assoc *assoc, struct nx_dimse_op *op, struct nx_err *err);
void nx_store_drop(struct nx_dimse_op *op);

bool nx_find_match(const char *sop_class);
nx_rc nx_find_finish(struct nx_assoc *assoc, struct nx_dimse_op *op, struct nx_err *err);

bool nx_worklist_match(const char *sop_class);
nx_rc nx_worklist_finish(struct nx_assoc *assoc, struct nx_dimse_op *op, struct nx_err *err);

bool nx_commit_match(const char *sop_class);
nx_rc nx_commit_finish(struct nx_assoc *assoc, struct nx_dimse_op *op, struct nx_err *err);
nx_rc nx_commit_event_finish(struct nx_assoc *assoc, struct nx_dimse_op *op, struct nx_err *err);

bool nx_step_match(const char *sop_class);
nx_rc nx_step_finish(struct nx_assoc *assoc, struct nx_dimse_op *op, struct nx_err *err);

bool nx_move_match(const char *sop_class);
nx_rc nx_move_finish(struct nx_assoc *assoc, struct nx_dimse_op *op, struct nx_err *err);

bool nx_get_match(const char *sop_class);
nx_rc nx_get_finish(struct nx_assoc *assoc, struct nx_dimse_op *op, struct nx_err *err);

/* ---- operations ---- */

struct nx_dimse_op {
	const struct nx_dimse_service *service; /* NULL: answered with op->status */
	const struct nx_pdu_context *context;
	struct nx_dimse_cmd rq;
	uint64_t bytes;     /* of the data set so far */
	uint16_t status;    /* not 0: failed, or a warning */
	uint32_t offending; /* tag; 0: none named */
	uint16_t error_id;  /* of the SOP class; 0: none */
	char comment[NX_DIMSE_COMMENT_MAX + 1];
	bool cancelled; /* the peer sent C-CANCEL-RQ */
	void *state;    /* the handler's */
};

/* The first failure stays.  `err` may be NULL: no comment. */
void nx_op_fail(struct nx_dimse_op *op, unsigned status, const struct nx_err *err);
/* A missing or wrong element of the command. */
void nx_op_offends(struct nx_dimse_op *op, unsigned status, uint32_t tag);
static inline bool nx_op_failed(const struct nx_dimse_op *op)
{
	return op->status != NX_STATUS_SUCCESS;
}

/* Queue the final response with op->status; the bytes leave before the next wait for input. */
NX_NODISCARD nx_rc nx_op_respond(
	struct nx_assoc *assoc, const struct nx_dimse_op *op, struct nx_err *err);

/* Queue a response with `status` and a data set; written when there is enough of it. */
NX_NODISCARD nx_rc nx_op_pending(struct nx_assoc *assoc, const struct nx_dimse_op *op,
	unsigned status, struct nx_slice dataset, struct nx_err *err);

/* The same with a response of the handler's; a data set where it says so. */
NX_NODISCARD nx_rc nx_op_answer(struct nx_assoc *assoc, const struct nx_dimse_op *op,
	const struct nx_dimse_cmd *rsp, struct nx_slice dataset, struct nx_err *err);
/* Comment and offending element of the operation into a response. */
void nx_op_explain(const struct nx_dimse_op *op, struct nx_dimse_cmd *rsp);

/* ---- the association ---- */

struct nx_assoc {
	struct nx_dimse *dimse;
	const struct nx_dimse_opts *opts;
	const struct nx_dimse_io *io;
	struct nx_arena *arena;
	struct nx_rx rx;
	struct nx_buf tx;

	struct nx_pdu_associate rq; /* as proposed; contexts carry their result */
	struct nx_pdu_context *by_id[256];
	struct nx_dimse_guest guest;
	unsigned window;     /* operations the peer may have outstanding */
	unsigned window_sub; /* operations that we may have outstanding */

	/* Where in the stream: bytes left of the P-DATA-TF, then of the PDV in it. */
	uint32_t pdu_left;
	uint32_t pdv_left;
	bool in_pdv;
	uint8_t pdv_context;
	uint8_t pdv_flags;

	/* The message being received. */
	uint8_t msg_context; /* 0: between messages */
	struct nx_buf command;
	struct nx_dimse_op *receiving; /* its data set is on the way */

	/* Operations in the order of their requests; the receiving one is the last. */
	struct nx_dimse_op ops[NX_ASYNC_MAX];
	unsigned ops_first;
	unsigned ops_n;
	const struct nx_dimse_op *working; /* being finished: others wait for it */
	bool release_waits;                /* A-RELEASE-RQ came while working */
	/* Takes responses to what we ask; set while something of ours may be outstanding. */
	nx_rc (*answered)(void *payload, const struct nx_dimse_cmd *rsp, struct nx_err *err);
	void *answered_payload;

	uint64_t operations;
	uint64_t bytes;
	bool over; /* released, or aborted by the peer: nothing more is sent */
	bool established;
	bool dead;                   /* the transport failed */
	bool counted;                /* in the limits of nx_dimse */
	struct nx_pdu_refusal abort; /* what our A-ABORT will say */
};

/* Run an association over any transport. */
void nx_assoc_run(struct nx_dimse *dimse, const struct nx_dimse_io *io);

/* Write what is queued. */
NX_NODISCARD nx_rc nx_assoc_write(struct nx_assoc *assoc, struct nx_err *err);
/* For an operation that takes long: use what the peer has sent meanwhile, without waiting. */
NX_NODISCARD nx_rc nx_assoc_poll(struct nx_assoc *assoc, struct nx_err *err);
/* For an operation that waits for the peer: write, wait for more, use it.  NX_E_TIMEOUT after
 * write_us. */
NX_NODISCARD nx_rc nx_assoc_await(struct nx_assoc *assoc, struct nx_err *err);
/* Queue a request of ours. */
NX_NODISCARD nx_rc nx_assoc_command(struct nx_assoc *assoc, uint8_t context,
	const struct nx_dimse_cmd *cmd, struct nx_err *err);
/* Was the SCP role for the class granted to the peer? */
bool nx_assoc_peer_is_scp(const struct nx_assoc *assoc, const char *sop_class);
/* A violation of the upper layer: sets what A-ABORT says (source: provider); NX_E_MALFORMED. */
nx_rc nx_assoc_violation(struct nx_assoc *assoc, enum nx_abort_reason reason, struct nx_err *err,
	const char *fmt, ...) NX_PRINTF(4, 5);

/* Byte `i` (from 1, as PS3.4 counts) of what extended negotiation granted; 0 where nothing was. */
uint8_t nx_assoc_granted(const struct nx_assoc *assoc, const char *sop_class, unsigned i);
/* negotiate.c: set the result of each context, the window and the roles, and build the answer. */
void nx_assoc_negotiate(struct nx_assoc *assoc, struct nx_pdu_associate *ret_answer);
/* Before anyone is asked: version, application context, sizes.  False: *ret_why is set. */
bool nx_assoc_acceptable(
	const struct nx_pdu_associate *rq, struct nx_pdu_refusal *ret_why, struct nx_err *err);

/* message.c: use up buffered bytes of P-DATA-TF PDUs. */
NX_NODISCARD nx_rc nx_message_pdu(struct nx_assoc *assoc, uint32_t len, struct nx_err *err);
/* Use buffered bytes inside the PDU; *ret_more: it needs bytes that are not here yet. */
NX_NODISCARD nx_rc nx_message_consume(struct nx_assoc *assoc, bool *ret_more, struct nx_err *err);
bool nx_message_idle(const struct nx_assoc *assoc); /* between messages */
/* Finish every operation that is complete, in order. */
NX_NODISCARD nx_rc nx_message_flush(struct nx_assoc *assoc, struct nx_err *err);
void nx_message_done(struct nx_assoc *assoc); /* drop what is left */

/* dimse.c: the limits. */
NX_NODISCARD nx_rc nx_dimse_admit(struct nx_dimse *dimse, const char *calling, struct nx_err *err);
void nx_dimse_leave(struct nx_dimse *dimse, const char *calling);
const struct nx_dimse_opts *nx_dimse_opts_of(const struct nx_dimse *dimse);

enum nx_dimse_counter {
	NX_COUNT_ACCEPTED,
	NX_COUNT_REJECTED,
	NX_COUNT_RELEASED,
	NX_COUNT_ABORTED,
	NX_COUNT_OPERATIONS,
	NX_COUNT_FAILURES,
	NX_COUNT_BYTES,
	NX_COUNT_COUNT_
};
void nx_dimse_count(struct nx_dimse *dimse, enum nx_dimse_counter counter, uint64_t n);

#endif
