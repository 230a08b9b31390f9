// SPDX-License-Identifier: Apache-2.0
#include "vmm/control/dispatch.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "vmm/lib/clock.h"
#include "vmm/lib/json.h"
#include "vmm/lib/version.h"

/* The server's own commands. */
struct own_command {
	const char *name;
	json_t *(*run)(const struct dispatch *dispatch);
};

json_t *control_fail_as(struct control_error *error, const char *class, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(error->text, sizeof(error->text), format, args);
	va_end(args);
	error->class = class;
	return NULL;
}

json_t *control_fail(struct control_error *error, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(error->text, sizeof(error->text), format, args);
	va_end(args);
	error->class = NULL;
	return NULL;
}

static json_t *version(void)
{
	return json_pack("{s:{s:i, s:i, s:i}, s:s}", "qemu", "major", EBB_QMP_MAJOR, "minor",
			 EBB_QMP_MINOR, "micro", EBB_QMP_MICRO, "package", "ebb " EBB_VERSION);
}

json_t *dispatch_greeting(void)
{
	return json_pack("{s:{s:o, s:[]}}", "QMP", "version", version(), "capabilities");
}

static json_t *error_value(const struct control_error *error)
{
	return json_pack("{s:{s:s, s:o}}", "error", "class",
			 error->class ? error->class : "GenericError", "desc",
			 json_text(error->text));
}

json_t *dispatch_error(const char *text)
{
	struct control_error error = {.class = NULL};
	snprintf(error.text, sizeof(error.text), "%s", text);
	return error_value(&error);
}

json_t *dispatch_event(const char *event, json_t *data)
{
	uint64_t now = clock_realtime_ns();

	return json_pack("{s:{s:I, s:I}, s:s, s:o*}", "timestamp", "seconds",
			 (json_int_t)(now / NS_PER_S), "microseconds",
			 (json_int_t)(now % NS_PER_S / 1000), "event", event, "data", data);
}

/* --- the server's own commands ------------------------------------------------------------- */

static json_t *query_version(const struct dispatch *dispatch)
{
	(void)dispatch;
	return version();
}

static json_t *query_commands(const struct dispatch *dispatch);

static const struct own_command own_commands[] = {
	{"query-version", query_version},
	{"query-commands", query_commands},
};

#define OWN_COMMANDS (sizeof(own_commands) / sizeof(own_commands[0]))

static bool is_allowed(const struct dispatch *dispatch, const struct control_command *command)
{
	return !dispatch->reads_only || command->effect == CONTROL_READS;
}

static int add_name(json_t *list, const char *name)
{
	return json_array_append_new(list, json_pack("{s:s}", "name", name));
}

static json_t *query_commands(const struct dispatch *dispatch)
{
	json_t *list = json_array();
	int err = add_name(list, "qmp_capabilities");
	for (size_t i = 0; i < OWN_COMMANDS && !err; i++)
		err = add_name(list, own_commands[i].name);
	for (const struct control_command *command = dispatch->commands; command->name && !err;
	     command++)
		if (is_allowed(dispatch, command))
			err = add_name(list, command->name);
	if (!err)
		return list;
	/* A client would take an incomplete list for the whole. */
	json_decref(list);
	return NULL;
}

/* Offers no out-of-band execution, unlike QEMU: nothing here blocks, so no command needs it. */
static json_t *qmp_capabilities(bool *negotiated, const json_t *arguments,
				struct control_error *error)
{
	const char *key;
	json_t *value;
	json_object_foreach((json_t *)arguments, key, value)
	{
		if (strcmp(key, "enable") != 0)
			return control_fail(error, "Parameter '%.100s' is unexpected", key);
		if (!json_is_array(value))
			return control_fail(error,
					    "Invalid parameter type for 'enable', expected: array");
		const char *wanted = json_string_value(json_array_get(value, 0));
		if (json_array_size(value) != 0)
			return control_fail(error, "Capability %.100s not available",
					    wanted ? wanted : "of no name");
	}
	if (*negotiated)
		return control_fail_as(
			error, "CommandNotFound",
			"Capabilities negotiation is already complete, command ignored");
	*negotiated = true;
	return json_object();
}

/* --- any command --------------------------------------------------------------------------- */

/* Returns the command's name, or NULL with @error set if @request is not a valid command. */
static const char *check(const json_t *request, struct control_error *error)
{
	const char *key, *name = NULL;
	json_t *value;
	if (!json_is_object(request)) {
		control_fail(error, "QMP input must be a JSON object");
		return NULL;
	}
	json_object_foreach((json_t *)request, key, value)
	{
		if (strcmp(key, "execute") == 0 && json_is_string(value)) {
			name = json_string_value(value);
		} else if (strcmp(key, "execute") == 0) {
			control_fail(error, "QMP input member 'execute' must be a string");
			return NULL;
		} else if (strcmp(key, "arguments") == 0 && !json_is_object(value)) {
			control_fail(error, "QMP input member 'arguments' must be an object");
			return NULL;
		} else if (strcmp(key, "arguments") != 0 && strcmp(key, "id") != 0) {
			control_fail(error, "QMP input member '%.100s' is unexpected", key);
			return NULL;
		}
	}
	if (!name)
		control_fail(error, "QMP input lacks member 'execute'");
	return name;
}

/* A command of the owner's. */
static json_t *run_command(const struct dispatch *dispatch, const struct control_command *command,
			   const json_t *arguments, struct control_error *error)
{
	if (is_allowed(dispatch, command))
		return command->run(dispatch->ctx, arguments, error);
	return control_fail_as(
		error, "CommandNotFound",
		"The command %s acts on the guest, and this socket only answers queries",
		command->name);
}

static json_t *run(const struct dispatch *dispatch, bool *negotiated, const char *name,
		   const json_t *arguments, struct control_error *error)
{
	if (strcmp(name, "qmp_capabilities") == 0)
		return qmp_capabilities(negotiated, arguments, error);
	if (!*negotiated)
		return control_fail_as(
			error, "CommandNotFound",
			"Expecting capabilities negotiation with 'qmp_capabilities'");
	for (size_t i = 0; i < OWN_COMMANDS; i++) {
		if (strcmp(name, own_commands[i].name) != 0)
			continue;
		void *first = json_object_iter((json_t *)arguments);
		if (first)
			return control_fail(error, "Parameter '%.100s' is unexpected",
					    json_object_iter_key(first));
		return own_commands[i].run(dispatch);
	}
	for (const struct control_command *command = dispatch->commands; command->name; command++)
		if (strcmp(name, command->name) == 0)
			return run_command(dispatch, command, arguments, error);
	return control_fail_as(error, "CommandNotFound", "The command %.100s has not been found",
			       name);
}

json_t *dispatch_reply(json_t *id, json_t *result, const struct control_error *error)
{
	const struct control_error no_memory = {.text = "out of memory"};
	if (!error || !*error->text)
		error = &no_memory;
	json_t *reply = result ? json_pack("{s:o}", "return", result) : error_value(error);
	/* Without its id the client could not match the answer to its command. */
	if (id && json_object_set(reply, "id", id) < 0) {
		json_decref(reply);
		return NULL;
	}
	return reply;
}

json_t *dispatch_answer(const struct dispatch *dispatch, bool *negotiated, const json_t *request)
{
	struct control_error error = {.class = NULL};
	json_t *given = json_object_get(request, "arguments");
	json_t *arguments = given ? json_incref(given) : json_object();
	const char *name = check(request, &error);
	json_t *result = name ? run(dispatch, negotiated, name, arguments, &error) : NULL;
	json_decref(arguments);
	return dispatch_reply(json_object_get(request, "id"), result, &error);
}
