# The commands of this repository. `make` alone lists them.

.DEFAULT_GOAL := help
.PHONY: help run check release test soak bench targets micro lint schema playground screenshots collector observe dashboards up down clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Build and serve the catalog with its sample at http://localhost:8000
	cargo run -- serve --sample

check: ## Before a commit: format, clippy, unit tests, tests on SQLite; installs nothing
	scripts/check

test: ## Set up what the tests need, then lint and test everything
	scripts/test

soak: ## The suite with its long tests in full, and an hour of load on a release build
	COLOPHON_TEST_FULL=1 scripts/test

release: ## Build what runs in production, for what is run most: twice, with a load between
	@scripts/release

bench: ## What an answer costs: the service, without telemetry, and a floor (takes two CPUs)
	@bench/run

targets: ## What the service is held to: footprint, delivery, growth, SQLite (takes two CPUs)
	@bench/targets

micro: ## What the hot parts cost by themselves, with telemetry and without
	cargo bench --profile micro --bench observed --bench unobserved

lint: ## Check format, code, docs and dependencies
	scripts/lint

schema: ## Write schema.graphql anew
	cargo run --quiet -- schema > schema.graphql

playground: ## Build the playground anew into the program (needs npm)
	touch build.rs
	cargo build

screenshots: ## Take the pictures of the documents anew, into docs/images (needs npm and Chromium)
	cargo build --quiet
	npm --prefix tests/web ci --no-audit --no-fund
	node tests/web/screenshots.mjs docs/images

collector: ## Build the OpenTelemetry Collector once, unless there is one (needs Go)
	@scripts/collector

observe: ## Run the collector: traces, metrics and logs come to its console and to target/
	collector=$$(scripts/collector) && exec "$$collector" --config collector/config.yaml

dashboards: ## Write the dashboards of Grafana and Kibana anew (needs npm)
	npm --prefix collector/dashboards ci --no-audit --no-fund
	npm --prefix collector/dashboards run build

up: ## Everything together in containers: Grafana at http://localhost:3000 (needs Docker)
	docker compose --file collector/compose.yaml up --build --detach

down: ## End what `make up` began; its data is kept
	docker compose --file collector/compose.yaml --profile '*' down

clean: ## Remove what was built
	cargo clean
	rm -rf tests/web/node_modules collector/dashboards/node_modules playground/node_modules playground/dist
