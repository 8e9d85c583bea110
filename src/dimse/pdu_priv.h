/*
 * pdu_priv.h - the PDUs of the DICOM upper layer (PS3.8 9.3), bytes to structs and back.
 *
 * Layer:   4 (dimse).
 * Threads: one thread at a time.
 * PHI:     none; data sets are not looked at here.
 */
#ifndef NX_DIMSE_PDU_PRIV_H
#define NX_DIMSE_PDU_PRIV_H

#include <stdint.h>

#include "base/err.h"
#include "base/limits.h"
#include "base/slice.h"

struct nx_arena;
struct nx_buf;

enum nx_pdu_type {
	NX_PDU_ASSOCIATE_RQ = 0x01,
	NX_PDU_ASSOCIATE_AC = 0x02,
	NX_PDU_ASSOCIATE_RJ = 0x03,
	NX_PDU_DATA = 0x04,
	NX_PDU_RELEASE_RQ = 0x05,
	NX_PDU_RELEASE_RP = 0x06,
	NX_PDU_ABORT = 0x07,
};

enum {
	NX_PDU_HEADER_LEN = 6,
	NX_PDV_HEADER_LEN = 6,        /* length, context id, message control header */
	NX_PDU_SHORT_LEN = 4,         /* body of RJ, RELEASE and ABORT */
	NX_PDU_SEND_MAX = 256 * 1024, /* what we send at most to who takes any length */
	NX_PDU_SEND_MIN = 64,         /* a peer that takes less is refused */
	NX_PDV_COMMAND = 0x01,        /* PS3.8 E.2 */
	NX_PDV_LAST = 0x02,
	NX_AE_TITLE_LEN = 16,
	NX_EXTENDED_MAX = 8,
};

/* PS3.8 9.3.3.2 */
enum nx_context_result {
	NX_CONTEXT_ACCEPTED = 0,
	NX_CONTEXT_USER_REJECTION = 1,
	NX_CONTEXT_NO_REASON = 2,
	NX_CONTEXT_ABSTRACT_UNSUPPORTED = 3,
	NX_CONTEXT_TS_UNSUPPORTED = 4,
};

/* PS3.8 9.3.4 and 9.3.8: RJ has result, source and reason; ABORT source and reason. */
struct nx_pdu_refusal {
	uint8_t result; /* 1 permanent, 2 transient */
	uint8_t source;
	uint8_t reason;
};

#define NX_RJ_NO_REASON           ((struct nx_pdu_refusal){1, 1, 1})
#define NX_RJ_APPLICATION_CONTEXT ((struct nx_pdu_refusal){1, 1, 2})
#define NX_RJ_CALLING_AE          ((struct nx_pdu_refusal){1, 1, 3})
#define NX_RJ_CALLED_AE           ((struct nx_pdu_refusal){1, 1, 7})
#define NX_RJ_PROTOCOL_VERSION    ((struct nx_pdu_refusal){1, 2, 2})
#define NX_RJ_CONGESTION          ((struct nx_pdu_refusal){2, 3, 1})
#define NX_RJ_LOCAL_LIMIT         ((struct nx_pdu_refusal){2, 3, 2})

enum nx_abort_reason {
	NX_ABORT_NOT_SPECIFIED = 0,
	NX_ABORT_UNRECOGNIZED_PDU = 1,
	NX_ABORT_UNEXPECTED_PDU = 2,
	NX_ABORT_UNRECOGNIZED_PARAMETER = 4,
	NX_ABORT_UNEXPECTED_PARAMETER = 5,
	NX_ABORT_INVALID_PARAMETER = 6,
};

enum {
	NX_ABORT_BY_USER = 0,
	NX_ABORT_BY_PROVIDER = 2,
};

struct nx_pdu_context {
	uint8_t id;
	uint8_t result;       /* AC */
	const char *abstract; /* RQ; "" where it is no UID */
	const char **ts;      /* RQ: as proposed, without those that are no UID; AC: at most one */
	size_t n_ts;
};

/* PS3.7 D.3.3.4 */
struct nx_pdu_role {
	const char *sop_class;
	bool scu;
	bool scp;
};

/* PS3.7 D.3.3.5: what the bytes mean, the SOP class says (PS3.4). */
struct nx_pdu_extended {
	const char *sop_class;
	uint8_t info[NX_EXTENDED_MAX]; /* those behind are not known to any class here */
	uint8_t n;
};

/* A-ASSOCIATE-RQ and -AC.  Strings and arrays are in the arena given to parse. */
struct nx_pdu_associate {
	uint16_t version;
	char called[NX_AE_TITLE_LEN + 1]; /* without leading and trailing spaces */
	char calling[NX_AE_TITLE_LEN + 1];
	const char *application_context;
	struct nx_pdu_context *contexts;
	size_t n_contexts;
	uint32_t max_pdu; /* 0: any length */
	const char *implementation_uid;
	const char *implementation_version; /* "" when not sent */
	bool has_window;                    /* PS3.7 D.3.3.3 */
	uint16_t max_invoked;
	uint16_t max_performed;
	struct nx_pdu_role *roles;
	size_t n_roles;
	bool has_identity; /* PS3.7 D.3.3.7; in AC: the positive response */
	uint8_t identity_type;
	bool identity_response;           /* RQ: a positive response is asked for */
	struct nx_slice identity;         /* RQ: the primary field, in the bytes that were parsed */
	struct nx_slice identity_secret;  /* RQ: the secondary field, likewise */
	struct nx_pdu_extended *extended; /* SOP class extended negotiation */
	size_t n_extended;
};

struct nx_pdu_header {
	uint8_t type;
	uint32_t len;
};

struct nx_pdv_header {
	uint32_t len; /* of the fragment */
	uint8_t context;
	uint8_t flags;
};

/* Both need 6 bytes at `p`.  The PDV's is false when its length is too short or odd (PS3.8
 * 9.3.5.1). */
struct nx_pdu_header nx_pdu_header_parse(const uint8_t p[NX_PDU_HEADER_LEN]);
bool nx_pdv_header_parse(const uint8_t p[NX_PDV_HEADER_LEN], struct nx_pdv_header *ret);

/* `body` follows the PDU header; `type` is RQ or AC.  NX_E_MALFORMED with the item and offset. */
NX_NODISCARD nx_rc nx_pdu_associate_parse(struct nx_slice body, uint8_t type,
	struct nx_arena *arena, struct nx_pdu_associate *ret, struct nx_err *err);
/* Whole PDU.  AC: contexts with their result, and roles, as they shall be answered. */
void nx_pdu_associate_format(
	struct nx_buf *out, uint8_t type, const struct nx_pdu_associate *associate);

/* RJ, RELEASE-RQ, RELEASE-RP, ABORT. */
void nx_pdu_short_format(struct nx_buf *out, uint8_t type, struct nx_pdu_refusal refusal);

/* The largest fragment for a peer that takes PDUs of `max_pdu` bytes (0: any). */
uint32_t nx_pdu_fragment_max(uint32_t max_pdu);
/* Headers of a PDU with one PDV of `n` bytes. */
void nx_pdu_data_header(uint8_t ret[NX_PDU_HEADER_LEN + NX_PDV_HEADER_LEN], uint8_t context,
	uint8_t flags, uint32_t n);
/* A whole command set or data set, cut as the peer wants it. */
void nx_pdu_data_format(
	struct nx_buf *out, uint8_t context, bool command, struct nx_slice bytes, uint32_t max_pdu);

/* Digits and dots, 1-64 of them, after trailing NULs and spaces are gone; lenient on the rest of
 * PS3.5 9.1, as found in the field.  False otherwise. */
bool nx_pdu_uid(struct nx_slice raw, char ret[NX_LIMIT_UID + 1]);

#endif
