# `make demo` and `make test` set up and run on a fresh Debian machine with Rust and Python's pip.
#
# Variables:
#   DATA=DIR          evaluation data, for `make results` and for the tests that want real data
#   SUBSET=24         how many of NTREX's languages `make results` takes: 24 or 128
#   SECONDS=60        how long `make fuzz` runs each target
#   ARCH=90           which CUDA card `make faiss-gpu` compiles for: compute capability, without its point; where it is given,
#                     `make gpu-pack` packs code for that card alone
#   OUT=DIR           the folder that `make gpu-pack` makes
#   TDENSE_CACHE=DIR  where ONNX Runtime and models are kept; default: the XDG cache folder

CARGO := cargo
TDENSE := target/release/tdense
DEMO := target/demo
# Not exported empty: tests take that for a folder.
ifneq ($(DATA),)
export TDENSE_DATA := $(DATA)
endif

# The consumer in examples/embed is built as this workspace is, so that it reuses its libraries.
AS_HERE := --config 'profile.dev.package."*".opt-level=3' --config 'profile.dev.package."*".debug=false'

SECONDS := 60
ARCH := 90
SUBSET := 24
# What cargo-fuzz asks the compiler for, without the sanitizers, which only nightly compilers have.
COVERAGE := -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
  -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1
COMMA := ,
HOST = $(shell rustc --print host-tuple)
# FAISS takes minutes to compile: where the workspace has it, fuzz links that.
FAISS = $(abspath $(patsubst %/lib/libfaiss.a,%,$(lastword $(wildcard target/*/build/faiss-sys-*/out/lib/libfaiss.a))))
ifneq ($(FAISS),)
LINKED = --config 'target.$(HOST).faiss_c.$(1)'
REUSE = $(call LINKED,root="$(FAISS)") \
  $(call LINKED,rustc-link-search=["native=$(FAISS)/lib"$(COMMA)"native=$(FAISS)/build/c_api"]) \
  $(call LINKED,rustc-link-lib=["static=faiss_c"$(COMMA)"static=faiss"$(COMMA)"stdc++"$(COMMA)"gomp"$(COMMA)"blas"$(COMMA)"lapack"])
endif

.PHONY: demo test soak fuzz results bench faiss-gpu gpu-pack set-up lint

demo: set-up
	$(CARGO) build --release --locked
	$(TDENSE) model get
	rm -rf $(DEMO)
	$(TDENSE) index $(DEMO) fixtures/parallel
	$(TDENSE) search $(DEMO) "why does the sea come and go twice a day?" -k 2 --mode dense --filter 'lang:en OR lang:de'
	$(TDENSE) search $(DEMO) "Wie erzählen Bienen, wo es Futter gibt?" -k 3 --mode dense --filter lang:sw
	$(TDENSE) eval --data fixtures/parallel --split multi --measures AP

test: set-up
	$(CARGO) test --locked --workspace --no-default-features --features cli
	$(CARGO) build --locked
	target/debug/tdense model get
	$(CARGO) test --locked --workspace
	$(CARGO) run --locked $(AS_HERE) --manifest-path examples/embed/Cargo.toml --target-dir target -- \
	  "$$(target/debug/tdense model get -q)"

# The long form of what `make test` has a short one of: hundreds of commits under many readers, and 200
# killed writers. About a quarter of an hour.
soak: set-up
	TDENSE_SOAK=long $(CARGO) test --locked --no-default-features --features cli,faiss --test all soak:: -- --nocapture

# Each target in turn; what is found lies in fuzz/artifacts. It belongs into fixtures/broken/TARGET, where a
# test takes it from then on.
fuzz: set-up
	cd fuzz && RUSTFLAGS="$(COVERAGE)" $(CARGO) build --release --locked --features faiss --target $(HOST) $(REUSE)
	cd fuzz && set -e; for target in fuzz_targets/*.rs; do \
	  name=$$(basename $$target .rs); mkdir -p corpus/$$name artifacts/$$name seeds/$$name; \
	  target/$(HOST)/release/$$name -max_total_time=$(SECONDS) -rss_limit_mb=2048 -timeout=20 \
	    -artifact_prefix=artifacts/$$name/ corpus/$$name seeds/$$name; \
	done

# docs/results.md, from the evaluation data in DATA. SUBSET=128 takes all of NTREX's languages instead of the 24 that
# tiers of resources are compared on.
results: set-up
	@test -n "$(TDENSE_DATA)" || { echo "usage: make results DATA=DIR [SUBSET=128]" >&2; exit 2; }
	$(CARGO) build --release --locked
	$(TDENSE) model get
	scripts/results $(TDENSE) $(TDENSE_DATA)/eval $(SUBSET) > docs/results.md.unfinished
	mv docs/results.md.unfinished docs/results.md

bench: set-up
	$(CARGO) bench --locked --workspace

# FAISS for CUDA cards, as a shared library; nothing else here needs it to build.
faiss-gpu: set-up
	scripts/faiss-gpu target/faiss-gpu/libfaiss_gpu.so $(ARCH)

# What gpu/check needs on a machine with a CUDA card and no network (docs/gpu.md), with what `make faiss-gpu` built, if it did.
gpu-pack: set-up
	@test -n "$(OUT)" || { echo "usage: make gpu-pack OUT=DIR [ARCH=90]" >&2; exit 2; }
	$(CARGO) build --release --locked
	$(CARGO) bench --locked --no-run --bench device --bench card
	python3 -m pip install -q --no-deps --only-binary=:all: --upgrade --target target/onnxruntime-gpu onnxruntime-gpu==1.31.1
	gpu/pack $(if $(filter-out file,$(origin ARCH)),--arch $(ARCH)) $(addprefix --faiss ,$(wildcard target/faiss-gpu/libfaiss_gpu.so)) \
	  $(OUT) $(TDENSE) $(foreach bench,device card,"$$(ls -t target/release/deps/$(bench)-* | grep -v '\.d$$' | head -n 1)") \
	  "$$(dirname "$$(dirname "$$($(TDENSE) model get -q)")")" target/onnxruntime-gpu/onnxruntime/capi

lint:
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	$(CARGO) clippy --locked --workspace --all-targets --no-default-features --features cli -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps

set-up:
	@scripts/set-up
