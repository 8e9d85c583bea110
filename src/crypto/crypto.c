#include "crypto/crypto.h"

#include <pthread.h>
#include <stdio.h>

#include <gnutls/gnutls.h>
#include <nettle/version.h>

#include "crypto/crypto_priv.h"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int init_status;
static char description[128];

static void init(void)
{
	init_status = gnutls_global_init();
	if (init_status < 0)
		return;
	nx_gcm_init_ipsecmb();
	nx_leaves_init();
	(void)snprintf(description, sizeof(description),
		"gnutls %s, nettle %d.%d, leaves %s, gcm %s", gnutls_check_version(NULL),
		nettle_version_major(), nettle_version_minor(), nx_leaves_name(),
		nx_gcm_chosen()->name);
}

nx_rc nx_crypto_init(struct nx_err *err)
{
	(void)pthread_once(&once, init);
	if (init_status < 0)
		return nx_err_set(
			err, NX_E_INTERNAL, "start gnutls: %s", gnutls_strerror(init_status));
	return NX_OK;
}

const char *nx_crypto_describe(void)
{
	return description;
}
