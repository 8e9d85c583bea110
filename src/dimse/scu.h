/*
 * scu.h - an association requester: C-ECHO and C-STORE towards a peer, one by one or in a window.
 *
 * Layer:   4 (dimse).  Uses net, base.
 * Threads: one thread at a time.
 * PHI:     data sets pass through.
 */
#ifndef NX_DIMSE_SCU_H
#define NX_DIMSE_SCU_H

#include <stdint.h>

#include "base/auto.h"
#include "base/err.h"
#include "base/slice.h"

struct nx_buf;
struct nx_dimse_io;
struct nx_dimse_scu;
struct nx_tls_opts;

enum {
	NX_SCU_WINDOW_MAX = 1024
};

struct nx_dimse_scu_context {
	const char *sop_class;
	const char *const *ts; /* in the order of preference */
	size_t n_ts;
};

struct nx_dimse_scu_opts {
	const char *host;
	uint16_t port;
	const struct nx_tls_opts *tls; /* NULL: plain; ca_file, and a certificate or none */
	const char *calling;
	const char *called;
	const char *implementation_uid; /* required */
	const struct nx_dimse_scu_context *contexts;
	size_t n_contexts;  /* 1..NX_LIMIT_PRES_CONTEXTS */
	bool as_scp;        /* of all of them, by role selection (PS3.7 D.3.3.4) */
	uint16_t window;    /* operations to have outstanding, if the peer agrees, at most
			       NX_SCU_WINDOW_MAX; 0: 1 */
	int64_t timeout_us; /* connect, and each wait for the peer; 0: 30 s */
	/* Optional: the status of every operation of nx_dimse_scu_send(), in the order of answers.
	 */
	void (*on_status)(void *payload, uint16_t message_id, uint16_t status, const char *comment);
	/* Optional: an N-EVENT-REPORT of the peer's; the status that answers it. */
	uint16_t (*on_event)(void *payload, uint16_t event_type, struct nx_slice dataset);
	/* Optional: asked now and then while the peer is waited for; false gives up, with
	 * NX_E_CLOSED. */
	bool (*goes_on)(void *payload);
	void *payload;
};

/* NX_E_DENIED: rejected, with result, source and reason in the text. */
NX_NODISCARD nx_rc nx_dimse_scu_open(
	const struct nx_dimse_scu_opts *opts, struct nx_dimse_scu **ret_scu, struct nx_err *err);
/* Aborts where it was not released. */
struct nx_dimse_scu *nx_dimse_scu_free(struct nx_dimse_scu *scu);
NX_DEFINE_AUTO(nx_dimse_scu);
/* Wait for all answers, then A-RELEASE. */
NX_NODISCARD nx_rc nx_dimse_scu_release(struct nx_dimse_scu *scu, struct nx_err *err);

/* The window that the peer agreed to. */
unsigned nx_dimse_scu_window(const struct nx_dimse_scu *scu);
/* The transfer syntax accepted for the class ("" for the first one), NULL where there is none. */
const char *nx_dimse_scu_ts(const struct nx_dimse_scu *scu, const char *sop_class);

NX_NODISCARD nx_rc nx_dimse_scu_echo(
	struct nx_dimse_scu *scu, uint16_t *ret_status, struct nx_err *err);

struct nx_dimse_scu_instance {
	const char *sop_class;
	const char *sop_instance;
	const char *ts;          /* of the data set; NULL: whatever was accepted */
	struct nx_slice dataset; /* bare: without preamble and meta group */
	/* Instead of `dataset`: writes all of it, in PDUs, after what is queued in `tx`.  A failure
	 * ends the association. */
	nx_rc (*write)(void *payload, const struct nx_dimse_io *io, struct nx_buf *tx,
		uint8_t context, uint32_t max_pdu, struct nx_err *err);
	void *payload;
	uint16_t priority;
	const char *originator; /* AE title of who asked for it by C-MOVE; NULL: nobody */
	uint16_t originator_id; /* Message ID of that */
};
/* Send and wait for the answer.  NX_E_NOT_ACCEPTABLE: no accepted context for class and syntax. */
NX_NODISCARD nx_rc nx_dimse_scu_store(struct nx_dimse_scu *scu,
	const struct nx_dimse_scu_instance *instance, uint16_t *ret_status, struct nx_err *err);
/* Send, waiting only while the window is full.  Small data sets are held back until they fill a
 * write or the answer is waited for; the bytes are not used after the return. */
NX_NODISCARD nx_rc nx_dimse_scu_send(
	struct nx_dimse_scu *scu, const struct nx_dimse_scu_instance *instance, struct nx_err *err);
/* N-EVENT-REPORT of a well-known instance; waits for the answer. */
NX_NODISCARD nx_rc nx_dimse_scu_report(struct nx_dimse_scu *scu, const char *sop_class,
	const char *sop_instance, uint16_t event_type, struct nx_slice dataset,
	uint16_t *ret_status, struct nx_err *err);
/* N-ACTION, likewise. */
NX_NODISCARD nx_rc nx_dimse_scu_action(struct nx_dimse_scu *scu, const char *sop_class,
	const char *sop_instance, uint16_t action_type, struct nx_slice dataset,
	uint16_t *ret_status, struct nx_err *err);
/* Until an event came and was answered, or NX_E_TIMEOUT: the association is as it was. */
NX_NODISCARD nx_rc nx_dimse_scu_listen(
	struct nx_dimse_scu *scu, int64_t timeout_us, struct nx_err *err);
/* The Message ID of what was sent last. */
uint16_t nx_dimse_scu_message_id(const struct nx_dimse_scu *scu);
/* Was the class accepted in this transfer syntax? */
bool nx_dimse_scu_accepts(
	const struct nx_dimse_scu *scu, const char *sop_class, const char *ts_uid);
/* Wait for all answers. */
NX_NODISCARD nx_rc nx_dimse_scu_drain(struct nx_dimse_scu *scu, struct nx_err *err);

#endif
