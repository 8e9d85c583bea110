/*
 * limits.h - every bound that outside input can reach, in one place.
 *
 * Layer:   0 (base).
 */
#ifndef NX_BASE_LIMITS_H
#define NX_BASE_LIMITS_H

#include <stddef.h>

/* Of the type that counts memory, so that a product with one of them is made in 64 bits. */
#define NX_KIB ((size_t)1024)
#define NX_MIB (1024 * NX_KIB)

/* DICOM data sets (PS3.5). */
/* Nested sequences; some writers go to 64.  A level is 128 bytes of a parser and 80 of the tree. */
#define NX_LIMIT_DICOM_DEPTH         128u
#define NX_LIMIT_DICOM_ELEMENTS      4000000u        /* elements in one data set, all levels */
#define NX_LIMIT_DICOM_HEADER        (64u * NX_MIB)  /* all non-bulk bytes of one instance */
#define NX_LIMIT_DICOM_HEADERS       (256u * NX_MIB) /* the same of all that are being received */
#define NX_LIMIT_DICOM_INFLATE_RATIO 200u /* deflated transfer syntax: output per input byte */
#define NX_LIMIT_DICOM_INSTANCE      (1ull << 40) /* one instance, bytes */

/* Pixels (PS3.5 8, A.4). */
#define NX_LIMIT_PIXEL_FRAME     (1024ull * NX_MIB) /* one decoded frame */
#define NX_LIMIT_PIXEL_FRAMES    1000000u           /* of one instance; whole slides have 100,000 */
#define NX_LIMIT_PIXEL_FRAGMENTS 4000000u           /* of one instance */
#define NX_LIMIT_PIXEL_SCANS     512u               /* of one JPEG image */
#define NX_LIMIT_PIXEL_FRAME_US  (60ll * 1000000)   /* time for one frame, where nobody says less */
#define NX_LIMIT_PIXEL_WORKERS   256u
#define NX_LIMIT_PIXEL_MEMORY    (6144ull * NX_MIB) /* address space of one worker */
#define NX_LIMIT_PIXEL_JOBS      100000u            /* a worker does, then it is replaced */
#define NX_LIMIT_PIXEL_KEPT      (64ull * NX_MIB) /* a worker that waits keeps for the next frame */
#define NX_LIMIT_PIXEL_LUT       65536u           /* entries of one look-up table */
#define NX_LIMIT_PIXEL_RENDERED  (256ull * NX_MIB) /* one rendered frame */
#define NX_LIMIT_VIEWPORT        (32u * NX_MIB)    /* pixels that an image is made to fit into */
#define NX_LIMIT_RENDERED_PARTS  100000u           /* images of one answer */
#define NX_LIMIT_IMAGE_FILE      (128ull * NX_MIB) /* samples of a PNG or GIF that is stored */
#define NX_LIMIT_ICC             (4u * NX_MIB)     /* a color profile */
#define NX_LIMIT_DRAWN           (64ull * NX_MIB) /* steps of drawing lines and text on one of them */
#define NX_LIMIT_DRAWN_POINTS    65536u           /* of one graphic object, or shutter */
#define NX_LIMIT_GRAPHIC_LAYERS  256u             /* of one presentation state */

/* Quarantine of one collection, where the site says nothing else. */
#define NX_LIMIT_QUARANTINE_ITEMS 10000u
#define NX_LIMIT_QUARANTINE_MIB   65536u

/* The published split rule: an element value of this length and more is bulk. */
#define NX_BULK_THRESHOLD (64u * NX_KIB)

/* Store (docs/PACK-FORMAT.md). */
#define NX_SEGMENT_LEN         (256u * NX_KIB)
#define NX_EXTENT_MAX          (64u * NX_MIB)
#define NX_LEAF_LEN            (32u * NX_KIB)
#define NX_PACK_MAX            (4096ull * NX_MIB) /* an active pack is sealed beyond this */
#define NX_PACK_ALIGN          4096u
#define NX_LIMIT_GROUP_RECORD  (64u * NX_MIB)
#define NX_LIMIT_GROUP_WAITERS 512u
#define NX_LIMIT_RECIPE_PARTS  65536u
#define NX_LIMIT_BLOB_EXTENTS  1048576u
#define NX_LIMIT_OPEN_PACKS    512u /* kept open when nothing uses them; two descriptors each */
#define NX_LIMIT_STREAMS       64u  /* written beside receiving; one descriptor each */
#define NX_LIMIT_IDLE_STREAMS  8u   /* of these kept for the next */

/* Names. */
#define NX_LIMIT_NAME       64u   /* collection, project, principal, domain */
#define NX_LIMIT_OBJECT_KEY 1024u /* S3: at most 1024 bytes of UTF-8 */
#define NX_LIMIT_PATIENT_ID 256u  /* 64 characters of UTF-8 (PS3.5 6.2, LO) */
#define NX_LIMIT_UID        64u   /* PS3.5 9.1 */
#define NX_LIMIT_ERR_TEXT   256u

/* Key store (docs/formats/KEY-STORE.md). */
#define NX_LIMIT_KEY_PLACES    8u
#define NX_LIMIT_KEY_LOG       (8ull << 30) /* keys.nxk: a hundred million subjects */
#define NX_LIMIT_KEY_NAMES     1024u        /* site keys, and purposes of a domain */
#define NX_LIMIT_KEY_DOMAINS   65536u
#define NX_LIMIT_ARGON2_KIB    (4096u * NX_KIB)
#define NX_LIMIT_ARGON2_PASSES 64u

/* Network. */
#define NX_LIMIT_CONNECTIONS       4096u
#define NX_LIMIT_LOCAL_CONNECTIONS 64u             /* to the site's own socket */
#define NX_LIMIT_PDU               (1u * NX_MIB)   /* P-DATA-TF we accept and announce at most */
#define NX_LIMIT_PDU_ASSOC         (256u * NX_KIB) /* A-ASSOCIATE-RQ */
#define NX_LIMIT_PRES_CONTEXTS     128u            /* PS3.8 9.3.2.2: odd ids 1-255 */
#define NX_LIMIT_COMMAND_SET       (64u * NX_KIB)  /* DIMSE command set */
#define NX_LIMIT_IDENTIFIER        (1u * NX_MIB)   /* data set of a DIMSE query */
#define NX_LIMIT_HTTP_HEADER       (32u * NX_KIB)
#define NX_LIMIT_HTTP_SMALL_BODY   (4u * NX_MIB) /* JSON bodies */
#define NX_LIMIT_MULTIPART_HEADER  (16u * NX_KIB)
#define NX_LIMIT_HTTP_QUERY        256u           /* query parameters of one request */
#define NX_LIMIT_HTTP_ARENA        (64u * NX_MIB) /* memory of one request */
#define NX_LIMIT_HTTP_DISCARD      (16u * NX_MIB) /* read past a refusal, to be able to say it */
#define NX_LIMIT_URL               (16u * NX_KIB) /* 2,000 numbers of frames fit */
#define NX_LIMIT_FRAME_LIST        2000u          /* frames of one request */

/* Queries. */
#define NX_LIMIT_QUERY_ROWS    10000u
#define NX_LIMIT_QUERY_KEYS    64u
#define NX_LIMIT_QUERY_VALUES  4096u /* values of all lists of one query */
/* Headers that one query looks into for keys that are sequences. */
#define NX_LIMIT_QUERY_HEADERS 50000u
#define NX_LIMIT_QUERY_RESULT  (16u * NX_MIB) /* one result, as a data set */
#define NX_LIMIT_FEED_WAIT_S   60             /* a question for changes waits for an answer */

/* Forwarding. */
#define NX_LIMIT_FORWARD_RULES      256u
#define NX_LIMIT_FORWARD_CONDITIONS 16u   /* of one rule */
#define NX_LIMIT_FORWARD_PATTERN    1024u /* bytes of one condition's values */
#define NX_LIMIT_FORWARD_WORKERS    64u   /* destinations that are served at a time */

/* Worklist. */
#define NX_LIMIT_WORKLIST_ITEM  (256u * NX_KIB) /* one data set */
#define NX_LIMIT_WORKLIST_STEPS 64u             /* scheduled procedure steps of one */

/* Performed procedure steps. */
#define NX_LIMIT_PERFORMED_STEP (4u * NX_MIB) /* one data set: some 30,000 instances */
#define NX_LIMIT_STEP_STUDIES   16u           /* studies of one step */
#define NX_LIMIT_STUDY_STEPS    64u           /* steps of one study */

/* Catalog. */
#define NX_LIMIT_OP_VALUES 64u /* values of one row operation */

#endif
