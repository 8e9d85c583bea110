#include "cli/cli.h"
#include "pixelbox/pixelbox.h"

int main(int argc, char **argv)
{
	if (nx_pixelbox_is_worker(argc, argv))
		return nx_pixelbox_worker(nx_pixel_codecs);
	return nx_cli_main(argc, argv);
}
