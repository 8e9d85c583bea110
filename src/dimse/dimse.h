/*
 * dimse.h - the DICOM network door: association acceptor, C-ECHO, C-STORE and C-FIND (PS3.7,
 * PS3.8).
 *
 * Layer:   4 (dimse).  Uses ingest, retrieve, dicom, net, base.
 * Threads: a struct nx_dimse is shared; an association runs in its connection's thread.
 * PHI:     passes through; logs carry addresses, counts and codes only.
 */
#ifndef NX_DIMSE_DIMSE_H
#define NX_DIMSE_DIMSE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/auto.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/slice.h"

struct nx_conn;
struct nx_forward;
struct nx_dimse;
struct nx_ingest;
struct nx_principal;
struct nx_retrieve;
struct nx_tls_opts;

/* A peer that instances are sent to. */
struct nx_dimse_destination {
	char ae[16 + 1];
	char calling[16 + 1]; /* as whom it is called */
	char host[256];
	uint16_t port;
	bool tls;
};

/* How a user proves who it is (PS3.7 D.3.3.7.1). */
enum nx_dimse_identity {
	NX_IDENTITY_NONE = 0,
	NX_IDENTITY_USERNAME = 1,
	NX_IDENTITY_PASSCODE = 2, /* and username */
	NX_IDENTITY_KERBEROS = 3,
	NX_IDENTITY_SAML = 4,
	NX_IDENTITY_JWT = 5,
};

/* Who calls.  Nothing of it outlives the call that it is given to. */
struct nx_dimse_peer {
	const char *calling; /* AE titles */
	const char *called;
	const char *address;
	const char *certificate; /* the common name in it; NULL: there is none */
	uint8_t identity;        /* enum nx_dimse_identity, or a type that is not known */
	struct nx_slice user;    /* the primary field */
	struct nx_slice secret;  /* the secondary field */
};

/* Who is let in. */
struct nx_dimse_guest {
	struct nx_principal *who;
	char collection[NX_LIMIT_NAME + 1];
	bool user_known; /* by the user identity: it is answered where an answer is asked for */
};

/* Zero and NULL stand for the default named beside a member. */
struct nx_dimse_opts {
	/*
	 * Required.  Who calls, and into which collection: the allow-list.  NX_E_DENIED rejects
	 * with calling-AE-title-not-recognized, NX_E_NOENT with called-AE-title-not-recognized,
	 * NX_E_UNAUTHENTICATED (the user identity does not hold) with no-reason-given, NX_E_LIMIT
	 * and NX_E_BUSY with local-limit-exceeded, any other failure with temporary-congestion.
	 */
	nx_rc (*authenticate)(void *context, const struct nx_dimse_peer *peer,
		struct nx_dimse_guest *ret, struct nx_err *err);
	void (*principal_free)(void *context, struct nx_principal *who); /* optional */
	/* Decides and records a request that reaches no service of its own (C-ECHO).  NULL: every
	 * authenticated peer may. */
	nx_rc (*authorize)(void *context, const struct nx_principal *who, const char *permission,
		const char *action, const char *collection, struct nx_err *err);
	/* Optional: asked before every operation whether the user who was let in still may be.
	 * NX_E_UNAUTHENTICATED: no longer; records it. */
	nx_rc (*still)(void *context, const struct nx_principal *who, struct nx_err *err);
	/* Optional: an association was refused; `why` says for what.  For the ledger. */
	void (*refused)(void *context, const char *calling, const char *called, const char *peer,
		const struct nx_err *why);
	void *context;

	/* Optional: the destination with that AE title.  NX_E_NOENT: there is none. */
	nx_rc (*destination)(void *destinations, const char *ae, struct nx_dimse_destination *ret,
		struct nx_err *err);
	void *destinations;
	const struct nx_tls_opts *destination_tls; /* for those that have TLS; borrowed */
	int64_t destination_us; /* to reach one, and for each of its answers; 30 s */

	struct nx_ingest *ingest;     /* borrowed */
	struct nx_retrieve *retrieve; /* borrowed; may be NULL while no row of the table needs it */
	/* Borrowed; NULL: results of storage commitment go to the requester's association alone. */
	struct nx_forward *forward;

	const char *implementation_uid;     /* required: PS3.7 D.3.3.2, borrowed */
	const char *implementation_version; /* at most 16 characters, borrowed; NULL: not sent */

	uint32_t max_pdu;          /* P-DATA-TF that we take: 4096..NX_LIMIT_PDU; 256 KiB */
	uint64_t max_instance;     /* bytes of one data set; NX_LIMIT_DICOM_INSTANCE */
	int64_t artim_us;          /* PS3.8 9.1.5; 30 s */
	int64_t idle_us;           /* nothing received for so long ends the association; 600 s */
	int64_t write_us;          /* one write; 60 s */
	unsigned max_assoc;        /* at a time; 256 */
	unsigned max_assoc_per_ae; /* at a time for one calling AE title; 32 */
	unsigned max_async;        /* operations window offered to those who ask, 1..64; 16 */
};

NX_NODISCARD nx_rc nx_dimse_new(
	const struct nx_dimse_opts *opts, struct nx_dimse **ret_dimse, struct nx_err *err);
struct nx_dimse *nx_dimse_free(struct nx_dimse *dimse); /* no association may be running */
NX_DEFINE_AUTO(nx_dimse);

/* Run one association to its end.  An nx_conn_fn; `payload` is the struct nx_dimse. */
void nx_dimse_conn(struct nx_conn *conn, void *payload);

struct nx_dimse_stats {
	uint64_t active;
	uint64_t accepted;
	uint64_t rejected;
	uint64_t released;
	uint64_t aborted; /* by either side, or the connection was lost */
	uint64_t operations;
	uint64_t failures; /* operations answered with a failure status */
	uint64_t bytes;    /* of data sets received */
};
void nx_dimse_stats(struct nx_dimse *dimse, struct nx_dimse_stats *ret);

/* ---- what there is, for the conformance statement ---- */

struct nx_dimse_service_info {
	const char *name; /* "C-STORE" */
	const char *permission;
	bool scp;
	bool scu;
	bool extended; /* answers SOP class extended negotiation */
};
/* The i-th service; false past the last. */
bool nx_dimse_service_at(size_t i, struct nx_dimse_service_info *ret);
/* Is it of this SOP class and transfer syntax?  ts_uid NULL: in any. */
bool nx_dimse_service_takes(size_t i, const char *sop_class, const char *ts_uid);

#endif
