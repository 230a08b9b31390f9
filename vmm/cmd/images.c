// SPDX-License-Identifier: Apache-2.0
/* ebb images: the images that `ebb setup` has made. */
#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>

#include "vmm/cmd/cmd.h"
#include "vmm/cmd/list_images.h"
#include "vmm/images/images.h"
#include "vmm/lib/log.h"
#include "vmm/lib/table.h"

enum { REMOVE, JSON };

static const struct option options[] = {
	{REMOVE, 0, "remove", "NAME", "remove the image NAME, which no guest uses", false},
	{JSON, 0, "json", NULL, "print JSON, with sizes in bytes and times in seconds\nsince 1970",
	 false},
	OPTION_HELP_LINE,
};

static const struct option_table table = {
	"ebb images", NULL,
	"Lists the images that \"ebb setup\" has made: Debian's suite, what each takes on\n"
	"this machine, its kernel at first, and when it was made.",
	options, sizeof(options) / sizeof(options[0])};

static const struct table_column columns[] = {
	{"NAME", "name", TABLE_TEXT},	   {"SUITE", "suite", TABLE_TEXT},
	{"SIZE", "allocated", TABLE_SIZE}, {"KERNEL", "kernel", TABLE_TEXT},
	{"MADE", "made", TABLE_TEXT},
};

struct request {
	const char *remove;
	bool json;
};

static int apply(void *ctx, int id, const char *value, struct option_error *error)
{
	struct request *request = ctx;
	(void)error;
	if (id == REMOVE)
		request->remove = value;
	request->json |= id == JSON;
	return 0;
}

/* Replaces seconds by the time of day. */
static void show_time(json_t *image)
{
	time_t made = (time_t)json_integer_value(json_object_get(image, "made"));
	char text[32];
	struct tm tm;

	if (made > 0 && localtime_r(&made, &tm) && strftime(text, sizeof(text), "%F %H:%M", &tm))
		json_object_set_new(image, "made", json_string(text));
}

int list_images(bool json)
{
	json_t *list = images_list();

	if (!list)
		return EXIT_FAILED;
	if (json) {
		table_print_json(list, stdout);
	} else {
		for (size_t i = 0; i < json_array_size(list); i++)
			show_time(json_array_get(list, i));
		table_print(columns, sizeof(columns) / sizeof(columns[0]), list, stdout);
	}
	json_decref(list);
	return EXIT_DONE;
}

static int remove_image(const char *name)
{
	int error = image_remove(name);
	bool mistake = error == -EINVAL || error == -ENOENT || error == -EAGAIN;

	return !error ? EXIT_DONE : mistake ? EXIT_USAGE : EXIT_FAILED;
}

int cmd_images(int argc, char **argv)
{
	struct request request = {.remove = NULL};
	int status = cmd_parse(&table, argc, argv, apply, &request);

	if (status >= 0)
		return status;
	if (request.remove && request.json) {
		log_error("--remove and --json cannot be combined");
		return EXIT_USAGE;
	}
	if (request.remove)
		return remove_image(request.remove);
	return list_images(request.json);
}
