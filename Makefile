# sslmem: `make demo` shows it, `make test` proves it. V=debug|release|asan|tsan|fuzz picks the variant; each has its
# own folder under build/.

ifeq ($(MAKELEVEL),0)
MAKEFLAGS += -j$(shell nproc)
endif
V        ?= release
B        ?= build/$(V)
OPT.debug   := -O0 -g
OPT.release := -O2 -g
OPT.asan    := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
OPT.tsan    := -O1 -g -fsanitize=thread
OPT.fuzz    := -O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
ifeq ($(OPT.$(V)),)
$(error V=$(V) is none of debug, release, asan, tsan, fuzz)
endif

WARN := -std=c11 -Wall -Wextra -Wpedantic -Wshadow -Wvla -Wundef -Wformat=2 -Wstrict-prototypes \
        -Wmissing-prototypes -Wpointer-arith -Wwrite-strings -Wno-missing-field-initializers $(if $(CI),-Werror)
# A number must not depend on the machine that compiled it: no contraction, no fast-math, no -march=native.
ALL_CFLAGS := -I. -Iinclude -D_GNU_SOURCE $(WARN) -ffp-contract=off $(OPT.$(V)) $(CFLAGS)
# Vectorised epilogues and loops; gcc's -O2 leaves loops of unknown length alone.
ifeq ($(V),release)
CFLAGS_core/kern/kern_blas := -O3
CFLAGS_core/ckpt/dtype := -O3
CFLAGS_core/names/weights := -O3
CFLAGS_core/image/near := -O3
endif
# Kernels of one instruction set, chosen at run time; their loops over registers must be unrolled.
ifneq ($(findstring x86_64,$(shell $(CC) -dumpmachine)),)
SIMD_OPT := $(if $(filter release,$(V)),-O3)
CFLAGS_core/kern/kern_avx2 := $(SIMD_OPT) -mavx2 -mfma
CFLAGS_core/kern/kern_avx512 := $(SIMD_OPT) -mavx512f -mavx512dq -mavx512bw -mavx512vl -mfma
endif
# Kernels see only buffers of the calling thread; instrumented they would take most of the time of ThreadSanitizer.
$B/core/kern/%.o: private ALL_CFLAGS += $(if $(filter tsan,$V),-O2 -fno-sanitize=thread)
LIBS := -lmicrohttpd -ljansson -larchive -lcurl -lsqlite3 -lsodium -lnettle -lgnutls -lseccomp -lzip -ljpeg -lz -lopenblas -lm -lpthread

FLOORS  ?= core/base core/image core/ckpt core/data core/kern core/names core/nn core/stats core/score core/audit \
           server/base server/decode server/db server/store server/ingest server/jobs server/http server/api server/cmd
SRC     := $(foreach f,$(FLOORS),$(wildcard $f/*.c))
OBJ     := $(SRC:%.c=$B/%.o) $B/gen/embed.o
EMBED   := $(sort $(wildcard migrations/*.sql)) $(wildcard openapi.yaml)
UNIT    := $(foreach f,$(FLOORS),$(patsubst tests/unit/%.c,$B/unit/%,$(wildcard tests/unit/$f/test_*.c)))
# Takes minutes under a sanitizer, and what it runs a million times the other tests run a few times.
ifneq ($(filter asan tsan,$(V)),)
UNIT    := $(filter-out %/test_million,$(UNIT))
endif
# core has no threads (tests/tidy/bans.txt), so there is no race to find.
ifeq ($V,tsan)
UNIT    := $(filter-out $B/unit/core/%,$(UNIT))
endif
FUZZ    := $(patsubst tests/fuzz/%.c,$B/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))

# One line a file; VERBOSE=1 shows the commands.
Q   := $(if $(VERBOSE),,@)
say  = $(if $(VERBOSE),@:,@printf '  %-3s %s\n' $1 $2)

all: $B/sslmem

$B/flags: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' '$(CC) $(ALL_CFLAGS)' | cmp -s - $@ || printf '%s\n' '$(CC) $(ALL_CFLAGS)' > $@

$B/%.o: %.c $B/flags
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$Q$(CC) $(ALL_CFLAGS) $(CFLAGS_$*) -MMD -MP -c -o $@ $<

$B/gen/embed.c: deploy/embed $(EMBED)
	@mkdir -p $(@D)
	$Qsh deploy/embed $(EMBED) > $@

$B/gen/embed.o: $B/gen/embed.c $B/flags
	$Q$(CC) $(ALL_CFLAGS) -c -o $@ $<

$B/libsslmem.a: $(OBJ)
	$Qrm -f $@ && $(AR) rcs $@ $^

$B/sslmem: $B/server/main.o $B/libsslmem.a
	$(call say,LD,$@)
	$Q$(CC) $(ALL_CFLAGS) -o $@ $^ $(LIBS) $(LDFLAGS)

$B/unit/%: $B/tests/unit/%.o $B/libsslmem.a
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$Q$(CC) $(ALL_CFLAGS) -o $@ $^ -lcmocka $(LIBS) $(LDFLAGS)

# libjpeg as an archive: its allocations fail too.
$B/unit/%/test_alloc: LDFLAGS += -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc
$B/unit/%/test_alloc: LIBS := $(LIBS:-ljpeg=-l:libjpeg.a)

# Replayed by a plain driver; V=fuzz (clang) has libFuzzer's.
FUZZ_MAIN := $(if $(filter fuzz,$(V)),,$B/tests/fuzz/driver.o)
$B/fuzz/%: $B/tests/fuzz/%.o $(FUZZ_MAIN) $B/libsslmem.a
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$Q$(CC) $(ALL_CFLAGS) $(if $(FUZZ_MAIN),,-fsanitize=fuzzer) -o $@ $^ $(LIBS) $(LDFLAGS)

$B/bench/%: $B/tests/bench/%.o $B/libsslmem.a
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$Q$(CC) $(ALL_CFLAGS) -o $@ $^ $(LIBS) $(LDFLAGS)

$B/kern: $(patsubst %.c,$B/%.o,$(wildcard tests/kern/*.c)) $B/libsslmem.a
	$(call say,LD,$@)
	$Q$(CC) $(ALL_CFLAGS) -o $@ $^ $(LIBS) $(LDFLAGS)

deps:
	@sh deploy/install-deps

# A test on each processor; what it prints comes in one piece.
unit: $(UNIT)
	@printf '%s\n' $(UNIT) | xargs -P $(shell nproc) -n 1 sh -c \
	    'out=$$($$0 2>&1); code=$$?; printf "== %s\n%s\n" "$$0" "$$out"; exit $$code'

kern: $B/kern
	$B/kern

fuzz-replay: $(FUZZ)
	@for f in $(FUZZ); do echo "== $$f"; $$f tests/fuzz/corpus/$${f##*/fuzz_} || exit 1; done

# Every fuzz target (FUZZ="build/fuzz/fuzz/fuzz_X …" chooses) for FUZZ_SECONDS, on a copy of its corpus; what is found
# stays below build/fuzz/run.
FUZZ_SECONDS ?= 60
fuzz:
	@sh deploy/install-deps clang libclang-rt-14-dev
	$(MAKE) fuzz-run V=fuzz CC=clang

fuzz-run: $(FUZZ)
	@for f in $(FUZZ); do echo "== $$f"; name=$${f##*/fuzz_}; run=$B/run/$$name; mkdir -p $$run; \
	    dict=tests/fuzz/dict/$$name; [ -e $$dict ] && dict=-dict=$$dict || dict=; \
	    cp -rT tests/fuzz/corpus/$$name $$run && $$f -max_total_time=$(FUZZ_SECONDS) -timeout=20 \
	    -rss_limit_mb=4096 $$dict -artifact_prefix=$$run- -print_final_stats=1 $$run || exit 1; done

# Each test has servers and databases of its own, so several run at once. A sanitizer build runs those that exercise what
# the sanitizer can find: the marks at the head of each file of tests/api.
MARK.asan := -m 'threads or memory'
MARK.tsan := -m threads
# Tests wait for each other and for clocks, so twice as many as processors; under ThreadSanitizer they compute.
API_JOBS  ?= $(shell expr $(if $(filter tsan,$V),1,2) '*' $$(nproc))
api: $B/sslmem
	@sh deploy/install-deps parallel shellcheck pyflakes3
	/usr/bin/python3 -m pytest -q -p no:cacheprovider -n $(API_JOBS) $(MARK.$V) tests/api --binary $B/sslmem

# Everything, in the variant V; kernels start no thread, so not under ThreadSanitizer. The variants share no object.
test: deps
	$(MAKE) unit
	$(if $(filter tsan,$V),,$(MAKE) kern)
	$(MAKE) fuzz-replay
	$(MAKE) api

demo: deps
	$(MAKE) all
	sh deploy/demo/run $B/sslmem

run: deps
	$(MAKE) all
	$B/sslmem serve --pairs deploy/demo/pairs --db $B/sslmem.db

# Absolute times say nothing: what is printed are shares of the sgemm peak of the same run. BENCH="--networks NAME,NAME"
# chooses, see tests/bench/bench.py --help.
bench:
	@sh deploy/install-deps python3-numpy wrk
	$(MAKE) $B/sslmem $B/bench/engine $B/bench/cost
	/usr/bin/python3 tests/bench/bench.py --binary $B/sslmem --engine $B/bench/engine $(BENCH)

# Side by side with ONNX Runtime, PyTorch and the published script, in turns. ONNX Runtime's CPU library is inside its
# package; the rest of the package would fetch more at install.
bench-peers:
	@sh deploy/install-deps python3-numpy python3-torch python3-torchvision nodejs
	@command -v npm >/dev/null || sh deploy/install-deps npm
	$(MAKE) $B/bench/engine
	@mkdir -p build/bench
	@[ -d build/bench/node_modules/onnxruntime-node ] || ONNXRUNTIME_NODE_INSTALL=skip \
	    npm install --prefix build/bench --no-audit --no-fund --silent onnxruntime-node@1.30.0
	/usr/bin/python3 tests/bench/peers.py --engine $B/bench/engine $(BENCH)

bench-check:
	@sh deploy/install-deps python3-numpy valgrind
	$(MAKE) $B/bench/engine
	/usr/bin/python3 tests/bench/check.py --engine $B/bench/engine

# What takes minutes and wants a quiet machine, the mixed load half an hour. One alone: make stress STRESS=overload; its
# parameters: tests/stress/overload.py --help.
STRESS ?= kills shards terms decoders overload growth throughput pattern coverage reliability unlearning draws mixed
stress:
	@sh deploy/install-deps python3-numpy dataset-fashion-mnist
	$(MAKE) $B/sslmem $B/bench/engine
	@for t in $(STRESS); do echo "== $$t"; \
	    /usr/bin/python3 tests/stress/$$t.py --binary $B/sslmem || bad=1; done; [ -z "$$bad" ]

bench-kern: $B/kern
	$B/kern --bench

tidy:
	@sh deploy/install-deps clang-format git
	sh tests/tidy/run

format:
	clang-format -i $(shell find core server include tests -name '*.[ch]')

PREFIX ?= /usr/local
install: all
	install -D $B/sslmem $(DESTDIR)$(PREFIX)/bin/sslmem

clean:
	rm -rf build

FORCE:
.PHONY: all deps unit kern fuzz-replay fuzz fuzz-run api test demo run bench bench-peers bench-check bench-kern stress tidy format install clean FORCE
.SECONDARY:
-include $(shell find $B -name '*.d' 2>/dev/null)
