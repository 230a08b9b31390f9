// SPDX-License-Identifier: Apache-2.0
/* QOM: the part of QEMU's object tree that leads to the balloon and its properties. */
#include <string.h>

#include "vmm/machine/device_balloon.h"
#include "vmm/monitor/part.h"

#define BALLOON_PATH "/machine/peripheral/balloon0"
/* In seconds: a day. */
#define STATS_INTERVAL_MAX 86400

static const struct {
	const char *path, *name, *type;
} qom_properties[] = {
	{"/", "machine", "child<container>"},
	{"/machine", "peripheral", "child<container>"},
	{"/machine/peripheral", "balloon0", "child<virtio-balloon-device>"},
	{BALLOON_PATH, "type", "string"},
	{BALLOON_PATH, "guest-stats", "guest statistics"},
	{BALLOON_PATH, "guest-stats-polling-interval", "int"},
	{BALLOON_PATH, "deflate-on-oom", "bool"},
	{BALLOON_PATH, "free-page-reporting", "bool"},
};

static json_t *no_such_path(const char *path, struct control_error *error)
{
	return control_fail_as(error, "DeviceNotFound", "Device '%.100s' not found", path);
}

/* Returns the string argument @name, or NULL with *@error set. */
static const char *string_argument(const json_t *arguments, const char *name,
				   struct control_error *error)
{
	const char *text = json_string_value(json_object_get(arguments, name));
	if (!text)
		control_fail(error, "Parameter '%s' is missing or not a string", name);
	return text;
}

static json_t *qom_list(void *ctx, const json_t *arguments, struct control_error *error)
{
	const struct monitor *monitor = ctx;
	bool balloon = machine_balloon(monitor->machine) != NULL;
	const char *path = string_argument(arguments, "path", error);
	if (!path)
		return NULL;

	json_t *list = json_array();
	bool found = false;
	for (size_t i = 0; i < sizeof(qom_properties) / sizeof(qom_properties[0]); i++) {
		bool of_balloon = strstr(qom_properties[i].path, "balloon0") != NULL;
		if (strcmp(qom_properties[i].path, path) != 0 || (of_balloon && !balloon))
			continue;
		found = true;
		if (strcmp(qom_properties[i].name, "balloon0") == 0 && !balloon)
			continue;
		json_array_append_new(list, json_pack("{s:s, s:s}", "name", qom_properties[i].name,
						      "type", qom_properties[i].type));
	}
	if (found)
		return list;
	json_decref(list);
	return no_such_path(path, error);
}

/* Returns the property's name if @arguments name the balloon, or NULL with *@error set. */
static const char *balloon_property(struct monitor *monitor, const json_t *arguments,
				    struct control_error *error)
{
	const char *path = string_argument(arguments, "path", error);
	const char *property = path ? string_argument(arguments, "property", error) : NULL;
	if (!property)
		return NULL;
	if (strcmp(path, BALLOON_PATH) != 0 || !machine_balloon(monitor->machine)) {
		no_such_path(path, error);
		return NULL;
	}
	return property;
}

static json_t *no_such_property(const char *property, struct control_error *error)
{
	return control_fail(error, "Property 'virtio-balloon-device.%.100s' not found", property);
}

static json_t *qom_get(void *ctx, const json_t *arguments, struct control_error *error)
{
	struct monitor *monitor = ctx;
	const struct balloon *balloon = machine_balloon(monitor->machine);
	const char *property = balloon_property(monitor, arguments, error);
	if (!property)
		return NULL;

	if (strcmp(property, "guest-stats") == 0) {
		struct balloon_stats stats;
		balloon_stats_get(machine_balloon(monitor->machine), &stats);
		return json_pack("{s:o, s:I}", "stats", monitor_stats_object(&stats, true),
				 "last-update", (json_int_t)stats.updated);
	}
	if (strcmp(property, "guest-stats-polling-interval") == 0)
		return json_integer(monitor_poll_interval(monitor));
	if (strcmp(property, "type") == 0)
		return json_string("virtio-balloon-device");
	if (strcmp(property, "deflate-on-oom") == 0)
		return json_boolean(balloon_offers_deflate_on_oom(balloon));
	if (strcmp(property, "free-page-reporting") == 0)
		return json_boolean(balloon_offers_reporting(balloon));
	return no_such_property(property, error);
}

static json_t *qom_set(void *ctx, const json_t *arguments, struct control_error *error)
{
	struct monitor *monitor = ctx;
	const char *property = balloon_property(monitor, arguments, error);
	if (!property)
		return NULL;
	if (strcmp(property, "guest-stats-polling-interval") != 0)
		return no_such_property(property, error);

	const json_t *value = monitor_integer(arguments, "value", error);
	if (!value)
		return NULL;
	json_int_t interval = json_integer_value(value);
	if (interval < 0 || interval > STATS_INTERVAL_MAX)
		return control_fail(error, "timer value must be 0 to %d seconds",
				    STATS_INTERVAL_MAX);
	int failed = monitor_poll_stats(monitor, (unsigned int)interval);
	if (failed)
		return control_fail(error, "cannot set the timer: %s", strerror(-failed));
	return json_object();
}

static const struct control_command commands[] = {
	{"qom-list", CONTROL_READS, qom_list},
	{"qom-get", CONTROL_READS, qom_get},
	{"qom-set", CONTROL_ACTS, qom_set},
	{},
};

const struct monitor_part monitor_qom = {.name = "qom", .commands = commands};
