// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/config_words.h"
#include "vmm/lib/guest_name.h"

static const struct {
	const char *words[WORDS_MAX + 1];
	struct vm_config want;
} good[] = {
	{{"-k", "K"}, {.boot.kernel = "K", .machine.cpus = 1, .memory.size = 256 * MIB}},
	{{"K"}, {.boot.kernel = "K", .machine.cpus = 1, .memory.size = 256 * MIB}},
	{{"-kK"}, {.boot.kernel = "K", .machine.cpus = 1, .memory.size = 256 * MIB}},
	{{"--kernel=K"}, {.boot.kernel = "K", .machine.cpus = 1, .memory.size = 256 * MIB}},
	{{"--kernel", "K"}, {.boot.kernel = "K", .machine.cpus = 1, .memory.size = 256 * MIB}},
	{{"--", "-k"}, {.boot.kernel = "-k", .machine.cpus = 1, .memory.size = 256 * MIB}},
	{{"K", "-c", "4"}, {.boot.kernel = "K", .machine.cpus = 4, .memory.size = 448 * MIB}},
	{{"-c4096", "K"},
	 {.boot.kernel = "K", .machine.cpus = 4096, .memory.size = 64 * MIB * 4099}},
	{{"K", "-i", "I", "-p", "a b=c"},
	 {.boot.kernel = "K",
	  .boot.initrd = "I",
	  .boot.params = "a b=c",
	  .machine.cpus = 1,
	  .memory.size = 256 * MIB}},
	{{"K", "--params=x=y"},
	 {.boot.kernel = "K", .boot.params = "x=y", .machine.cpus = 1, .memory.size = 256 * MIB}},
	{{"K", "-p", "a", "-p", "b c", "--params="},
	 {.boot.kernel = "K", .boot.params = "a b c", .machine.cpus = 1, .memory.size = 256 * MIB}},
	{{"K", "-p", "-x"},
	 {.boot.kernel = "K", .boot.params = "-x", .machine.cpus = 1, .memory.size = 256 * MIB}},
	{{"K", "-p", ""},
	 {.boot.kernel = "K", .boot.params = "", .machine.cpus = 1, .memory.size = 256 * MIB}},
	{{"K", "--name", "a.b c"},
	 {.boot.kernel = "K",
	  .machine.name = "a.b c",
	  .machine.cpus = 1,
	  .memory.size = 256 * MIB}},
	{{"K", "--nodefaults", "--pmu"},
	 {.boot.kernel = "K",
	  .boot.nodefaults = true,
	  .machine.pmu = true,
	  .machine.cpus = 1,
	  .memory.size = 256 * MIB}},
	{{"K", "--irqchip", "gicv2"},
	 {.boot.kernel = "K",
	  .machine.irqchip = "gicv2",
	  .machine.cpus = 1,
	  .memory.size = 256 * MIB}},
	{{"K", "--weight", "1"},
	 {.boot.kernel = "K", .machine.weight = 1, .machine.cpus = 1, .memory.size = 256 * MIB}},
	{{"K", "--weight=10000"},
	 {.boot.kernel = "K",
	  .machine.weight = VM_WEIGHT_MAX,
	  .machine.cpus = 1,
	  .memory.size = 256 * MIB}},
	{{"K", "--rng"},
	 {.boot.kernel = "K", .rng.wanted = true, .machine.cpus = 1, .memory.size = 256 * MIB}},
	{{"K", "--console", "serial", "--debug"},
	 {.boot.kernel = "K", .machine.debug = true, .machine.cpus = 1, .memory.size = 256 * MIB}},
	{{"K", "--console", "virtio"},
	 {.boot.kernel = "K",
	  .console.kind = VM_CONSOLE_VIRTIO,
	  .machine.cpus = 1,
	  .memory.size = 256 * MIB}},
	{{"K", "--console=none", "--detach"},
	 {.boot.kernel = "K",
	  .console.kind = VM_CONSOLE_NONE,
	  .console.detach = true,
	  .machine.cpus = 1,
	  .memory.size = 256 * MIB}},
	{{"K", "--port", "a.0",
	  "--port=\xc3\xa9"}, /* bytes above ASCII are no control characters */
	 {.boot.kernel = "K",
	  .console.port = {"a.0", "\xc3\xa9"},
	  .console.ports = 2,
	  .machine.cpus = 1,
	  .memory.size = 256 * MIB}},
	{{"K", "--console", "file=a,b"},
	 {.boot.kernel = "K",
	  .console.kind = VM_CONSOLE_FILE,
	  .console.file = "a,b",
	  .machine.cpus = 1,
	  .memory.size = 256 * MIB}},
	{{"K", "-m512"}, {.boot.kernel = "K", .machine.cpus = 1, .memory.size = 512 * MIB}},
	{{"K", "-m", "512M"}, {.boot.kernel = "K", .machine.cpus = 1, .memory.size = 512 * MIB}},
	{{"K", "--mem=16777216B"},
	 {.boot.kernel = "K", .machine.cpus = 1, .memory.size = 16 * MIB}},
	{{"K", "--mem=16384k"}, {.boot.kernel = "K", .machine.cpus = 1, .memory.size = 16 * MIB}},
	{{"K", "--mem", "2G"}, {.boot.kernel = "K", .machine.cpus = 1, .memory.size = 2048 * MIB}},
	{{"K", "--mem", "2g"}, {.boot.kernel = "K", .machine.cpus = 1, .memory.size = 2048 * MIB}},
	{{"K", "--mem", "3T"},
	 {.boot.kernel = "K", .machine.cpus = 1, .memory.size = 3 * MIB * MIB}},
	{{"K", "--mem", "1p"},
	 {.boot.kernel = "K", .machine.cpus = 1, .memory.size = 1024 * MIB * MIB}},
	{{"K", "--debug", "--debug"},
	 {.boot.kernel = "K", .machine.debug = true, .machine.cpus = 1, .memory.size = 256 * MIB}},
};

static void same(const char *got, const char *want)
{
	ck_assert_pstr_eq(got, want);
}

START_TEST(test_good)
{
	struct vm_config config;
	const struct vm_config *want = &good[_i].want;
	enum config_outcome outcome = config_words(&config, good[_i].words);
	ck_assert_msg(outcome == CONFIG_RUN, "%s", config_error);
	same(config.boot.kernel, want->boot.kernel);
	same(config.boot.initrd, want->boot.initrd);
	same(config.boot.params, want->boot.params);
	same(config.machine.name, want->machine.name);
	ck_assert_uint_eq(config.memory.size, want->memory.size);
	ck_assert_uint_eq(config.machine.cpus, want->machine.cpus);
	ck_assert_uint_eq(config.machine.weight, want->machine.weight ?: VM_WEIGHT);
	ck_assert_int_eq(config.balloon.wanted, !want->boot.nodefaults);
	ck_assert_int_eq(config.machine.debug, want->machine.debug);
	ck_assert_int_eq(config.boot.nodefaults, want->boot.nodefaults);
	ck_assert_int_eq(config.machine.pmu, want->machine.pmu);
	ck_assert_int_eq(config.rng.wanted, want->rng.wanted);
	ck_assert_int_eq(config.console.kind, want->console.kind);
	ck_assert_int_eq(config.console.detach, want->console.detach);
	same(config.console.file, want->console.file);
	ck_assert_uint_eq(config.console.ports, want->console.ports);
	for (unsigned int i = 0; i < want->console.ports; i++)
		same(config.console.port[i], want->console.port[i]);
	same(config.machine.irqchip, want->machine.irqchip);
}
END_TEST

#define NAME_64 "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"

static const struct config_mistake bad[] = {
	{{"-i", "I"}, {"an initrd is given, but no kernel", "-k FILE"}},
	{{"-k", ""}, {"kernel", "empty", "name the file"}},
	{{"K", "-i", ""}, {"initrd", "empty", "name the file"}},
	{{"K", "L"}, {"two kernels", "\"K\"", "\"L\""}},
	{{"-k", "K", "-k", "L"}, {"two kernels", "\"K\"", "\"L\""}},
	{{"K", "--", "-L"}, {"two kernels", "\"-L\""}},

	{{"K", "-c", "0"}, {"\"0\"", "CPUs", "1 or more"}},
	{{"K", "-c", "-1"}, {"\"-1\"", "CPUs", "1 or more"}},
	{{"K", "-c", ""}, {"\"\"", "CPUs"}},
	{{"K", "--weight", "0"}, {"\"0\"", "weight", "1 to 10000"}},
	{{"K", "--weight", "10001"}, {"\"10001\"", "weight", "1 to 10000"}},
	{{"K", "--weight", "1M"}, {"\"1M\"", "weight", "1 to 10000"}},
	{{"K", "--weight", "18446744073709551617"}, {"weight", "1 to 10000"}},
	{{"K", "-c", "2x"}, {"\"2x\"", "CPUs"}},
	{{"K", "-c", "4097"}, {"4097", "too many", "4096"}},
	{{"K", "-c", "4294967297"}, {"too many"}},
	{{"K", "-c", "99999999999999999999"}, {"too many"}},

	{{"K", "--fre-page-reporting"},
	 {"unknown option --fre-page-reporting", "did you mean --free-page-reporting?"}},
	{{"K", "--free-page-report"}, {"did you mean --free-page-reporting?"}},
	{{"K", "--memory=1G"}, {"unknown option --memory;", "did you mean --mem?"}},
	{{"K", "--cpu", "1"}, {"unknown option --cpu", "did you mean --cpus?"}},
	{{"K", "--ballon"}, {"did you mean --balloon?"}},
	{{"K", "--kenrel=x"}, {"did you mean --kernel?"}},
	{{"-kernel", "K"}, {"unknown option -kernel", "did you mean --kernel?"}},
	{{"-mem=1G", "K"}, {"unknown option -mem;", "did you mean --mem?"}},
	{{"K", "--netwrk", "x"}, {"unknown option --netwrk", "did you mean --network?"}},
	{{"K", "--x"}, {"unknown option --x", "ebb run --help"}},
	{{"K", "-x"}, {"unknown option -x", "ebb run --help"}},
	{{"K", "-"}, {"two kernels"}},
	{{"K", "--="}, {"unknown option --", "ebb run --help"}},
	{{"K", "--dxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"}, {"ebb run --help"}},

	{{"K", "-m"}, {"-m needs a value", "-m SIZE"}},
	{{"K", "--name"}, {"--name needs a value", "--name NAME"}},
	{{"K", "--debug=1"}, {"--debug takes no value"}},

	/* Of two values one would be dropped. */
	{{"K", "-i", "a", "-i", "b"}, {"--initrd is given twice"}},
	{{"K", "--name=a", "--name=a"}, {"--name is given twice"}},
	{{"K", "--vcpu-affinity", "3-1"}, {"\"3-1\"", "list of CPUs", "1-3,5"}},
	{{"K", "--vcpu-affinity="}, {"\"\"", "list of CPUs"}},
	{{"K", "--vcpu-affinity", "1\n"}, {"\"1\\x0a\"", "list of CPUs"}},
	{{"K", "--vcpu-affinity", "4096"}, {"\"4096\"", "4095 or less"}},
	{{"K", "-hx"}, {"--help takes no value"}},
	{{"K", "--port", ""}, {"port's name", "1 to 31"}},
	{{"K", "--port", "01234567890123456789012345678901"}, {"port's name", "1 to 31"}},
	{{"K", "--port", "a b"}, {"\"a b\"", "space"}},
	{{"K", "--port", "a/b"}, {"\"a/b\"", "slash"}},
	{{"K", "--port", "a", "--port", "a"}, {"two ports \"a\""}},
	{{"K", "--port", "a", "--port", "b", "--port", "c"}, {"can have 2 ports"}},
	{{"K", "--console", "file="}, {"console's file name is empty"}},
	{{"K", "--console", "file=f", "--detach"}, {"--console file=", "--detach", "--log"}},
	{{"K", "--console", "hvc"}, {"unknown console \"hvc\"", "virtio", "file=FILE"}},

	{{"K", "--name", ""}, {"\"\"", "is empty"}},
	{{"K", "--name", "a/b"}, {"\"a/b\"", "slash"}},
	{{"K", "--name", "."}, {"\".\"", "directory"}},
	{{"K", "--name", ".."}, {"\"..\"", "directory"}},
	{{"K", "--name", "a\nb"}, {"\"a\\x0ab\"", "control character"}},
	{{"K", "--name", NAME_64 "n"}, {"too long", "64"}},
};

START_TEST(test_bad)
{
	config_mistaken(&bad[_i]);
}
END_TEST

START_TEST(test_long_params)
{
	struct vm_config config;
	static char params[VM_PARAMS_SIZE];
	memset(params, 'a', VM_PARAMS_SIZE - 3);
	char *argv[] = {"K", "-p", params, "-p", "b", "-p", "", NULL};
	ck_assert_int_eq(config_parse(&config, 7, argv, config_error, sizeof(config_error)),
			 CONFIG_RUN);
	ck_assert_uint_eq(strlen(config.boot.params), VM_PARAMS_SIZE - 1);
	argv[6] = "c";
	ck_assert_int_eq(config_parse(&config, 7, argv, config_error, sizeof(config_error)),
			 CONFIG_ERROR);
	ck_assert_ptr_nonnull(strstr(config_error, "too long"));
}
END_TEST

START_TEST(test_longest_name)
{
	struct vm_config config;
	const char *const words[] = {"K", "--name", NAME_64, NULL};
	ck_assert_int_eq(strlen(NAME_64), VM_NAME_MAX);
	ck_assert_int_eq(config_words(&config, words), CONFIG_RUN);
	ck_assert_str_eq(config.machine.name, NAME_64);
}
END_TEST

/* A word of any length leaves the error where it belongs. */
START_TEST(test_long_words)
{
	struct vm_config config;
	static char word[5000];
	memset(word, 'a', sizeof(word) - 1);
	memcpy(word, "--", 2);
	const char *const words[] = {word, NULL};
	ck_assert_int_eq(config_words(&config, words), CONFIG_ERROR);
	ck_assert_int_eq(strlen(config_error), sizeof(config_error) - 1);
}
END_TEST

START_TEST(test_restore)
{
	struct vm_config config;
	static const char *const right[] = {"--restore", "/srv/web", NULL};
	static const char *const resumed[] = {"--restore=D", "--resume", NULL};
	static const char *const wrong[][5] = {
		{"K", "--resume", NULL},
		{"--restore", "D", "K", NULL},
		{"--restore", "D", "-i", "I", NULL},
		{"--restore=D", "-p", "quiet", NULL},
		{"--restore=D", "--dump-dtb", "F", NULL},
		{"--restore", "", NULL},
	};
	ck_assert_int_eq(config_words(&config, right), CONFIG_RUN);
	ck_assert_str_eq(config.boot.restore, "/srv/web");
	ck_assert_ptr_null(config.boot.kernel);
	ck_assert(!config.boot.resume);
	ck_assert_int_eq(config_words(&config, resumed), CONFIG_RUN);
	ck_assert(config.boot.resume);
	for (int i = 0; i < COUNT(wrong); i++)
		ck_assert_int_eq(config_words(&config, wrong[i]), CONFIG_ERROR);
}
END_TEST

START_TEST(test_help)
{
	struct vm_config config;
	static const char *const lines[][3] = {{"-h", NULL}, {"K", "--help", NULL}};
	for (int i = 0; i < COUNT(lines); i++)
		ck_assert_int_eq(config_words(&config, lines[i]), CONFIG_HELP);
}
END_TEST

START_TEST(test_usage)
{
	static const char *const says[] = {
		"Usage: ebb run",    "-k, --kernel FILE",
		"-i, --initrd FILE", "-p, --params STRING",
		"-m, --mem SIZE",    "-c, --cpus N",
		"    --name NAME",   "--balloon[=SIZE] ",
		"--console KIND",    "-d, --disk FILE[,ro]",
		"--debug",	     "-h, --help",
		"--no-balloon",	     "--free-page-reporting[=on|off]",
	};
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	config_usage(out);
	fclose(out);
	for (int i = 0; i < COUNT(says); i++)
		ck_assert_msg(strstr(text, says[i]), "\"%s\" lacks \"%s\"", text, says[i]);
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
		ck_assert_msg(strlen(line) <= 80, "longer than 80: %s", line);
	free(text);
}
END_TEST

/* --- networks --- */

#define USER(...)                                                                                  \
	{                                                                                          \
		.mode = NETWORK_USER, .queues = 1, __VA_ARGS__                                     \
	}
#define TAP(...)                                                                                   \
	{                                                                                          \
		.mode = NETWORK_TAP, .queues = 1, __VA_ARGS__                                      \
	}

static const struct {
	const char *words[WORDS_MAX + 1];
	struct vm_networks want;
} networks[] = {
	{{"K"}, {.by_default = true, .count = 1, .network = {USER()}}},
	{{"K", "--nodefaults"}, {.count = 0}},
	{{"K", "--nodefaults", "-n", "user"}, {.count = 1, .network = {USER()}}},
	{{"K", "-n", "none"}, {.none = true}},
	{{"K", "-n", "mode=none"}, {.none = true}},
	{{"K", "-n", "user"}, {.count = 1, .network = {USER()}}},
	{{"K", "--network=mode=user"}, {.count = 1, .network = {USER()}}},
	{{"K", "-n", "mtu=1500,mode=user"}, {.count = 1, .network = {USER(.mtu = 1500)}}},
	{{"K", "-n", "user,mtu=68"}, {.count = 1, .network = {USER(.mtu = 68)}}},
	{{"K", "-n", "user,mtu=65520"}, {.count = 1, .network = {USER(.mtu = 65520)}}},
	{{"K", "-n", "user", "-n", "tap", "-n", "user"},
	 {.count = 3, .network = {USER(), TAP(), USER()}}},
	{{"K", "-n", "tap,vhost=1", "-n", "tap,vhost=0"},
	 {.count = 2, .network = {TAP(.vhost = true), TAP()}}},
	{{"K", "-n", "mode=tap,tapif=tap0,guest_mac=02:00:0a:FF:0e:01"},
	 {.count = 1,
	  .network = {TAP(.tapif = "tap0", .mac_given = true, .mac = {2, 0, 10, 255, 14, 1})}}},
	{{"K", "-n", "tap,fd=17"}, {.count = 1, .network = {TAP(.fds = 1, .fd = {17})}}},
	{{"K", "-n", "mode=fd,fd=3"}, {.count = 1, .network = {TAP(.fds = 1, .fd = {3})}}},
	{{"K", "-n", "tap,fd=9:3:2147483647:4"},
	 {.count = 1,
	  .network = {{NETWORK_TAP, .queues = 4, .fds = 4, .fd = {9, 3, 2147483647, 4}}}}},
	{{"K", "-n", "tap,queues=4", "-n", "user,queues=1"},
	 {.count = 2, .network = {{NETWORK_TAP, .queues = 4}, USER()}}},
	{{"K", "-n", "user,hostfwd=tcp:127.0.0.1:2222-:22"},
	 {.count = 1,
	  .network = {USER(.forwards = 1, .forward = {{false, "127.0.0.1", 2222, 22}})}}},
	{{"K", "-n", "user,hostfwd=udp::53-:5353,hostfwd=::65535-:1"},
	 {.count = 1,
	  .network = {USER(.forwards = 2,
			   .forward = {{true, "", 53, 5353}, {false, "", 65535, 1}})}}},
};

START_TEST(test_networks)
{
	struct vm_config config;
	const struct vm_networks *want = &networks[_i].want;
	ck_assert_msg(config_words(&config, networks[_i].words) == CONFIG_RUN, "%s", config_error);
	ck_assert_uint_eq(config.networks.count, want->count);
	ck_assert_int_eq(config.networks.none, want->none);
	ck_assert_int_eq(config.networks.by_default, want->by_default);
	for (unsigned int i = 0; i < want->count; i++) {
		const struct vm_network *is = &config.networks.network[i], *w = &want->network[i];
		ck_assert_int_eq(is->mode, w->mode);
		ck_assert_uint_eq(is->queues, w->queues);
		ck_assert_uint_eq(is->fds, w->fds);
		ck_assert_mem_eq(is->fd, w->fd, sizeof(is->fd));
		ck_assert_uint_eq(is->mtu, w->mtu);
		ck_assert_str_eq(is->tapif, w->tapif);
		ck_assert_int_eq(is->vhost, w->vhost);
		ck_assert_int_eq(is->mac_given, w->mac_given);
		ck_assert_mem_eq(is->mac, w->mac, 6);
		ck_assert_uint_eq(is->forwards, w->forwards);
		for (unsigned int f = 0; f < w->forwards; f++) {
			ck_assert_int_eq(is->forward[f].udp, w->forward[f].udp);
			ck_assert_str_eq(is->forward[f].host, w->forward[f].host);
			ck_assert_uint_eq(is->forward[f].host_port, w->forward[f].host_port);
			ck_assert_uint_eq(is->forward[f].guest_port, w->forward[f].guest_port);
		}
	}
}
END_TEST

static const struct {
	const char *value, *says;
} bad_networks[] = {
	{"", "unknown network \"\""},
	{"foo", "unknown network \"foo\"; write user, tap or none"},
	{"mtu=1500", "has no mode"},
	{"user,mode=tap", "two modes"},
	{"none,mtu=70", "none has no keys"},
	{"user,mtu=67", "mtu \"67\""},
	{"user,mtu=65521", "mtu \"65521\""},
	{"user,mtu=1k", "mtu \"1k\""},
	{"user,guest_mac=1:2:3:4:5:6", "not an Ethernet address"},
	{"user,guest_mac=02:00:00:00:00:00:00", "not an Ethernet address"},
	{"user,guest_mac=02:00:00:00:00:0g", "not an Ethernet address"},
	{"user,guest_mac=02-00-00-00-00-00", "not an Ethernet address"},
	{"user,guest_mac=01:00:00:00:00:00", "address of a group"},
	{"user,tapif=tap0", "tapif and fd are for the network tap"},
	{"user,vhost=1", "vhost is for the network tap"},
	{"tap,vhost=2", "the network's vhost \"2\" is not a number from 0 to 1"},
	{"tap,vhost=", "the network's vhost \"\" is not a number from 0 to 1"},
	{"user,fd=3", "tapif and fd are for the network tap"},
	{"mode=fd", "the network fd has no descriptor; write fd=N"},
	{"fd,tapif=tap0", "the network fd has no descriptor"},
	{"tap,fd=2", "fd \"2\""},
	{"tap,fd=-1", "fd \"-1\""},
	{"tap,fd=3,tapif=x", "cannot be combined"},
	{"tap,fd=3:", "fd \"3:\" is not a number from 3 to 2147483647, or several such as 3:4"},
	{"tap,fd=3:2", "fd \"3:2\""},
	{"tap,fd=3;4", "fd \"3;4\""},
	{"tap,fd=:3", "fd \":3\""},
	{"tap,fd=2147483648", "fd \"2147483648\""},
	{"tap,fd=3:4:3", "fd \"3:4:3\" has a descriptor twice"},
	{"tap,fd=3:4:5:6:7", "more than 4 descriptors"},
	{"tap,fd=3:4,queues=2", "queues and fd cannot be combined"},
	{"tap,queues=0", "the network's queues \"0\" is not a number from 1 to 4"},
	{"tap,queues=5", "queues \"5\""},
	{"tap,queues=2:2", "queues \"2:2\""},
	{"user,queues=2", "the network user has one pair of queues, as passt has"},
	{"none,queues=2", "none has no keys"},
	{"tap,tapif=", "not the name of an interface"},
	{"tap,tapif=sixteen-letters-", "not the name of an interface"},
	{"tap,tapif=a/b", "not the name of an interface"},
	{"tap,script=/etc/up", "no scripts for a network; set an interface up before"},
	{"mode=tap,tapif=tap0,downscript=none", "give it with tapif=NAME"},
	{"tap,scripts=/etc/up", "unknown key \"scripts\" of the network; the keys are mode=user, "},
	{"tap,hostfwd=tcp::1-:1", "hostfwd is for the network user"},
	{"user,hostfwd=", "hostfwd \"\" is not"},
	{"user,hostfwd=tcp", "hostfwd \"tcp\" is not"},
	{"user,hostfwd=tcp:", "is not PROTOCOL"},
	{"user,hostfwd=tcp:127.0.0.1", "is not PROTOCOL"},
	{"user,hostfwd=tcp:127.0.0.1:22", "is not PROTOCOL"},
	{"user,hostfwd=tcp:127.0.0.1:2222-22", "is not PROTOCOL"},
	{"user,hostfwd=tcp:127.0.0.1:2222-10.0.2.15:22", "is not PROTOCOL"},
	{"user,hostfwd=tcp:127.0.0.1:2222-:22x", "is not PROTOCOL"},
	{"user,hostfwd=tcp:127.0.0.1:0-:22", "is not PROTOCOL"},
	{"user,hostfwd=tcp:127.0.0.1:65536-:22", "is not PROTOCOL"},
	{"user,hostfwd=tcp:localhost:2222-:22", "is not PROTOCOL"},
	{"user,hostfwd=tcp:1.2.3.4.5.6.7.8.9:2222-:22", "is not PROTOCOL"},
	{"user,hostfwd=sctp::2222-:22", "is not PROTOCOL"},
};

START_TEST(test_bad_networks)
{
	struct vm_config config;
	const char *const words[] = {"K", "-n", bad_networks[_i].value, NULL};
	ck_assert_int_eq(config_words(&config, words), CONFIG_ERROR);
	ck_assert_msg(strstr(config_error, bad_networks[_i].says), "%s", config_error);
}
END_TEST

START_TEST(test_many_networks)
{
	struct vm_config config;
	const char *const none[] = {"K", "-n", "user", "-n", "none", NULL};
	const char *const five[] = {"K", "-nuser", "-nuser", "-ntap", "-nuser", "-nuser", NULL};
	const char *const nine[] = {"K",
				    "-nuser,hostfwd=::1-:1,hostfwd=::1-:1,hostfwd=::1-:1,"
				    "hostfwd=::1-:1,hostfwd=::1-:1,hostfwd=::1-:1,"
				    "hostfwd=::1-:1,hostfwd=::1-:1,hostfwd=::9-:9",
				    NULL};
	ck_assert_int_eq(config_words(&config, none), CONFIG_ERROR);
	ck_assert_ptr_nonnull(strstr(config_error, "cannot be combined"));
	ck_assert_int_eq(config_words(&config, five), CONFIG_ERROR);
	ck_assert_ptr_nonnull(strstr(config_error, "\"user\" is one too many; a guest can have 4"));
	ck_assert_int_eq(config_words(&config, nine), CONFIG_ERROR);
	ck_assert_ptr_nonnull(
		strstr(config_error, "\"::9-:9\" is one too many; a network can have 8"));
}
END_TEST

Suite *config_suite(void);
Suite *config_suite(void)
{
	Suite *suite = suite_create("config");
	TCase *tcase = tcase_create("config");
	tcase_add_loop_test(tcase, test_good, 0, COUNT(good));
	tcase_add_loop_test(tcase, test_bad, 0, COUNT(bad));
	tcase_add_loop_test(tcase, test_networks, 0, COUNT(networks));
	tcase_add_loop_test(tcase, test_bad_networks, 0, COUNT(bad_networks));
	tcase_add_test(tcase, test_many_networks);
	tcase_add_test(tcase, test_long_params);
	tcase_add_test(tcase, test_longest_name);
	tcase_add_test(tcase, test_long_words);
	tcase_add_test(tcase, test_restore);
	tcase_add_test(tcase, test_help);
	tcase_add_test(tcase, test_usage);
	suite_add_tcase(suite, tcase);
	return suite;
}
