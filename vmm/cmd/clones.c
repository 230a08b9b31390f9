// SPDX-License-Identifier: Apache-2.0
#include "vmm/cmd/clones.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm/cmd/cmd.h"
#include "vmm/config/config.h"
#include "vmm/control/client.h"
#include "vmm/control/runtime.h"
#include "vmm/lib/clock.h"
#include "vmm/lib/log.h"
#include "vmm/lib/loop.h"
#include "vmm/lib/program.h"

#define END_MS	10000
#define POLL_MS 20
/* Those that are told after a guest's ebb that does not answer wait no longer. */
#define TOLD_MS 1000
#define AT_ONCE 64
/* Descriptors for all else. */
#define OTHERS 24
/* After an error message: not too many of them. */
#define AGAIN_MS 1000

/* --- numbers in words ---------------------------------------------------------------------------- */

/* Returns @pattern with @number in place of each %, for the caller to free; or NULL. */
static char *expand(const char *pattern, unsigned int number)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	for (const char *c = pattern; *c; c++) {
		if (*c != '%')
			fputc(*c, out);
		else if (c[1] == '%')
			fputc(*c++, out);
		else
			fprintf(out, "%u", number);
	}
	bool failed = ferror(out) != 0;
	if (fclose(out) == 0 && !failed)
		return text;
	free(text);
	return NULL;
}

void clones_pattern(char pattern[CLONES_PATTERN_MAX], const char *name)
{
	char *at = pattern;

	for (const char *c = name; *c && at < pattern + CLONES_PATTERN_MAX - 4; c++) {
		if (*c == '%')
			*at++ = '%';
		*at++ = *c;
	}
	memcpy(at, "-%", 3);
}

char *clones_name(const struct clones *clones, unsigned int number)
{
	return expand(clones->pattern, number);
}

/* --- a command line ------------------------------------------------------------------------------ */

void clones_set_options(struct clones *clones, char **argv, const char *word)
{
	while (*argv != word)
		argv++;
	clones->option = argv;
	while (*argv++)
		clones->options++;
}

/* Ends with NULL. Once memory is short it stays @failed. */
struct words {
	char **word;
	size_t count;
	bool failed;
};

static void take(struct words *words, char *word)
{
	char **more = word ? reallocarray(words->word, words->count + 2, sizeof(more[0])) : NULL;

	if (!more) {
		free(word);
		words->failed = true;
		return;
	}
	words->word = more;
	more[words->count++] = word;
	more[words->count] = NULL;
}

__attribute__((format(printf, 2, 3))) static void add(struct words *words, const char *format, ...)
{
	char *word = NULL;
	va_list args;

	va_start(args, format);
	if (vasprintf(&word, format, args) < 0)
		word = NULL;
	va_end(args);
	take(words, word);
}

static void words_release(struct words *words)
{
	for (size_t i = 0; i < words->count; i++)
		free(words->word[i]);
	free(words->word);
}

/* The options that the machine had, but for those that cannot be told from it. */
static void add_machine(struct words *words, const struct clones *clones)
{
	const struct saved_machine *saved = &clones->saved;

	add(words, "--cpus=%u", saved->cpus);
	add(words, "--mem=%lluM", (unsigned long long)saved->memory >> 20);
	if (!saved->balloons)
		add(words, "--no-balloon");
	if (!saved->networks && !clones->has_network)
		add(words, "--network=none");
	for (unsigned int i = 0; i < saved->networks && !clones->has_network; i++)
		add(words, "--network=user");
	if (saved->rngs && !clones->has_rng)
		add(words, "--rng");
	/* Its path is of the clone's name. */
	if (saved->vsocks && !clones->has_vsock)
		add(words, "--ssh");
}

/* With all options, or with the user's alone. */
static int make_words(struct words *words, const struct clones *clones, unsigned int number,
		      bool all)
{
	*words = (struct words){0};
	add(words, "ebb");
	add(words, "run");
	add(words, "--restore=%s", clones->folder);
	add(words, "--resume"); /* also if the saved guest was paused */
	add(words, "--detach");
	char *name = clones_name(clones, number);
	add(words, "--name=%s", name ? name : "");
	free(name);
	if (all)
		add_machine(words, clones);
	for (size_t i = 0; i < clones->options; i++)
		take(words, expand(clones->option[i], number));
	if (!words->failed)
		return 0;
	log_error("out of memory");
	return -ENOMEM;
}

/* --- checks -------------------------------------------------------------------------------------- */

/* Returns the exit status. */
static int parse(const struct clones *clones, unsigned int number, bool all,
		 struct vm_config *config)
{
	struct words words;
	char error[512];
	int status = EXIT_FAILED;

	if (make_words(&words, clones, number, all) == 0) {
		status = EXIT_DONE;
		switch (config_parse(config, (int)words.count - 2, words.word + 2, error,
				     sizeof(error))) {
		case CONFIG_HELP:
			log_error("\"ebb help run\" shows the options that may follow --");
			status = EXIT_USAGE;
			break;
		case CONFIG_ERROR:
			log_error("%s", error);
			status = EXIT_USAGE;
			break;
		case CONFIG_RUN:
			break;
		}
	}
	words_release(&words);
	return status;
}

/* @saved: the guest's; of these @there are in the snapshot's folder. */
static int check_disks(const struct vm_disks *disks, unsigned int saved, unsigned int there)
{
	unsigned int count =
		there + disks->count + (disks->image != NULL) + (disks->user_data != NULL);

	if (count == saved)
		return EXIT_DONE;
	if (count > saved)
		log_error(
			"the guest has fewer disks (%u) than are given (%u)%s: leave out the others",
			saved, count, there ? ", with those in the snapshot's folder" : "");
	else
		log_error(
			"the guest's disks (%u) are in no snapshot: give each clone its own, or one "
			"that none writes to, as in: -- -d copy-%%.img -d data.img,ro",
			saved - there);
	return EXIT_USAGE;
}

int clones_check(struct clones *clones, unsigned int number)
{
	struct vm_config config;

	int status = parse(clones, number, false, &config);
	if (status != EXIT_DONE)
		return status;
	clones->has_network = !config.networks.by_default;
	clones->has_rng = config.rng.wanted;
	clones->has_vsock = config.vsock.wanted;
	clones->has_console = config.console.kind == VM_CONSOLE_VIRTIO || config.console.ports > 0;
	status = parse(clones, number, true, &config);
	return status == EXIT_DONE
		       ? check_disks(&config.disks, clones->saved.disks, clones->disks_saved)
		       : status;
}

/* The snapshot's list of devices has not the ports' names. */
int clones_check_saved(const struct clones *clones)
{
	bool saved = clones->saved.consoles > 0;

	if (saved == clones->has_console)
		return EXIT_DONE;
	if (saved)
		log_error("the guest has --console virtio or --port: give them as it has them, as "
			  "in: -- --port NAME");
	else
		log_error("the guest has neither --console virtio nor --port: leave them out");
	return EXIT_USAGE;
}

int clones_check_names(const struct clones *clones, unsigned int count)
{
	struct runtime_guest *live = NULL;
	ssize_t lives = runtime_list(&live);
	int status = lives < 0 ? EXIT_FAILED : EXIT_DONE;

	for (unsigned int number = 1; number <= count && status == EXIT_DONE; number++) {
		char *name = clones_name(clones, number);
		if (name && runtime_find(live, lives, name)) {
			log_error("a guest called \"%s\" is running; give other names, as in "
				  "--name-pattern other-%%",
				  name);
			status = EXIT_USAGE;
		}
		free(name);
	}
	free(live);
	return status;
}

/* --- starts and ends ----------------------------------------------------------------------------- */

bool clones_runs(const struct clones *clones, unsigned int number, const struct runtime_guest *live,
		 ssize_t lives)
{
	char *name = clones_name(clones, number);
	bool runs = name && runtime_find(live, lives, name);

	free(name);
	return runs;
}

/* Sets @living to those of clones @first to @last that run. Returns how many these are, or -errno after an error message. */
static ssize_t find_living(const struct clones *clones, unsigned int first, unsigned int last,
			   struct runtime_guest *living)
{
	struct runtime_guest *live = NULL;
	ssize_t lives = runtime_list(&live);
	ssize_t count = lives < 0 ? lives : 0;

	for (unsigned int number = first; number <= last && lives > 0; number++) {
		char *name = clones_name(clones, number);
		const struct runtime_guest *guest = name ? runtime_find(live, lives, name) : NULL;
		if (guest)
			living[count++] = *guest;
		free(name);
	}
	free(live);
	return count;
}

/* For one that could not be told for long. While its number cannot become another's, its name tells whose that is. */
static void signal_stuck(const struct runtime_guest *guest)
{
	struct runtime_guest *live = NULL;
	int process = guest->pid > 0 ? (int)syscall(SYS_pidfd_open, guest->pid, 0) : -1;

	if (process < 0)
		return;
	ssize_t lives = runtime_list(&live);
	const struct runtime_guest *again = runtime_find(live, lives, guest->name);
	if (again && again->pid == guest->pid)
		syscall(SYS_pidfd_send_signal, process, SIGTERM, NULL, 0);
	free(live);
	close(process);
}

/* Of those that are told at once. */
struct telling {
	unsigned int waits; /* for so many answers */
	bool full;	    /* there were too few descriptors */
};

/* One of them. Its answer may be lost, since the command ends the guest's ebb. */
struct ending {
	const struct runtime_guest *guest;
	struct telling *telling;
	struct control_client *client;
	bool told; /* or gone */
};

static void on_quit(void *ctx, int error, json_t *reply)
{
	struct ending *ending = ctx;

	(void)reply;
	ending->told = !error || control_client_is_gone(error);
	ending->telling->full |= error == -EMFILE || error == -ENFILE;
	ending->telling->waits--;
}

static void on_open(void *ctx, int error, json_t *reply)
{
	struct ending *ending = ctx;

	if (!error)
		error = control_client_start(ending->client, "quit", NULL, CONTROL_ANSWER_MS,
					     on_quit, ending);
	if (error)
		on_quit(ctx, error, reply);
}

/* Tells all at once. Returns false if there are too few descriptors for so many. */
static bool tell_to_quit(const struct runtime_guest *guest, size_t count, struct loop *loop,
			 int64_t deadline)
{
	int64_t now = clock_ms(), limit = now + TOLD_MS < deadline ? now + TOLD_MS : deadline;
	bool late = deadline - now < END_MS / 2;
	const struct control_client_owner owner = {NULL};
	struct ending ending[AT_ONCE];
	struct telling telling = {0};
	size_t begun = 0;

	for (; begun < count && !telling.full; begun++) {
		struct ending *one = &ending[begun];
		*one = (struct ending){.guest = &guest[begun], .telling = &telling};
		telling.waits++;
		int error = control_client_open(&one->client, loop, one->guest->name, &owner,
						on_open, one);
		if (error)
			on_quit(one, error, NULL);
	}
	while (telling.waits > 0 && !telling.full && clock_ms() < limit &&
	       loop_turn(loop, POLL_MS) >= 0)
		;
	for (size_t i = 0; i < begun; i++) {
		control_client_close(ending[i].client);
		if (late && !ending[i].told)
			signal_stuck(ending[i].guest);
	}
	return !telling.full;
}

/* How many can be told at once: each takes a socket and a timer. */
static size_t allow_descriptors(const struct rlimit *before)
{
	struct rlimit limit = *before;

	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
		limit.rlim_cur = before->rlim_cur;
	if (limit.rlim_cur >= OTHERS + 2 * AT_ONCE)
		return AT_ONCE;
	return limit.rlim_cur > OTHERS + 2 ? (limit.rlim_cur - OTHERS) / 2 : 1;
}

/* Each of @count guests once. Returns whether each could be told. */
static bool tell_all(const struct runtime_guest *guest, size_t count, size_t at_once,
		     struct loop *loop, int64_t deadline)
{
	bool could = true;

	for (size_t i = 0; i < count && could && clock_ms() <= deadline; i += at_once) {
		size_t part = count - i < at_once ? count - i : at_once;
		could = tell_to_quit(&guest[i], part, loop, deadline);
	}
	return could;
}

void clones_end(const struct clones *clones, unsigned int first, unsigned int last)
{
	int64_t deadline = clock_ms() + END_MS;
	struct runtime_guest *living = calloc((size_t)last - first + 1, sizeof(*living));
	struct rlimit before = {0};
	struct loop loop;
	ssize_t left = living && loop_init(&loop) == 0 ? 0 : -ENOMEM;
	bool has_loop = left == 0;

	getrlimit(RLIMIT_NOFILE, &before);
	size_t at_once = allow_descriptors(&before);
	while (has_loop && (left = find_living(clones, first, last, living)) != 0 &&
	       clock_ms() <= deadline) {
		bool could = left > 0 && tell_all(living, (size_t)left, at_once, &loop, deadline);
		clock_sleep_ms(could ? POLL_MS : AGAIN_MS);
	}
	setrlimit(RLIMIT_NOFILE, &before);
	if (left != 0)
		log_error("not all clones end; \"ebb stop\" ends them");
	if (has_loop)
		loop_release(&loop);
	free(living);
}

int clones_start(const struct clones *clones, unsigned int number)
{
	struct words words;
	int status = -ENOMEM;

	if (make_words(&words, clones, number, true) == 0) {
		const struct program program = {EBB_ITSELF, words.word,	  -1,
						-1,	    clones->mask, clones->limit_ms};
		status = program_run(&program);
		if (status == -ETIMEDOUT)
			log_error("clone %u has not started within %d s: it is ended", number,
				  clones->limit_ms / 1000);
		else if (status < 0 && status != -EINTR)
			log_error("cannot start ebb for a clone: %s", strerror(-status));
	}
	words_release(&words);
	/* It may have started all the same, out of the group of what was run. */
	if (status == -EINTR || status == -ETIMEDOUT)
		clones_end(clones, number, number);
	return status < 0 ? EXIT_FAILED : status;
}
