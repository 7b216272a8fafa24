package flake_test

import (
	"encoding/json"
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crs58/fleet/internal/flake"
	"github.com/crs58/fleet/internal/nix"
	"github.com/crs58/fleet/internal/nix/nixtest"
)

var update = flag.Bool("update", false, "write what is recorded and wanted anew")

const recording = "testdata/clan/recorded.json"

// clanWorld is a way to evaluate the clan of testdata/clan: Nix and the flake.
type clanWorld func(t *testing.T) (x nix.Executor, ref string)

// clanWorlds are the clan as its shape says it by hand and as the real clan-core
// was recorded to say it, and, where FLEET_REAL names a folder with that, as it
// says it today.
func clanWorlds() map[string]clanWorld {
	worlds := map[string]clanWorld{
		"shape": func(t *testing.T) (nix.Executor, string) {
			return nix.New(nix.Options{Env: nixtest.Env(t)}), edited(t)
		},
		"recorded": func(t *testing.T) (nix.Executor, string) {
			return nixtest.Play(t, recording, clanPlaceholders(t, "$DIR")), "$DIR"
		},
	}
	if real := os.Getenv("FLEET_REAL"); real != "" {
		worlds["real"] = func(t *testing.T) (nix.Executor, string) { return clanReal(t, real) }
	}
	return worlds
}

// clanReal records what the real clan-core says if the test is to.
func clanReal(t *testing.T, real string) (nix.Executor, string) {
	t.Helper()
	dir := nixtest.Clan(t, real, map[string]string{"fleet.nix": read(t, "testdata/clan/fleet.nix")})
	cli := nix.New(nix.Options{Env: nixtest.Env(t)})
	if _, err := cli.Metadata(t.Context(), dir); err != nil { // which locks it
		t.Fatal(err)
	}
	if !*update {
		return cli, dir
	}
	recorder := nixtest.Record(cli, clanPlaceholders(t, dir))
	t.Cleanup(func() { recorder.Check(t, recording, true) })
	return recorder, dir
}

// clanPlaceholders keep the text of the queries out of the recording.
func clanPlaceholders(t *testing.T, dir string) map[string]string {
	t.Helper()
	pairs := map[string]string{dir: "$DIR"}
	for _, name := range []string{"load", "native", "clan", "plain"} {
		pairs[read(t, "query/"+name+".nix")] = "$" + name + ".nix"
	}
	return pairs
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

var storeHash = regexp.MustCompile(`/nix/store/[0-9a-z]{32}-`)

// A clan is read to the same whoever says it: by one evaluation for all
// machines, without and with their systems. Files and line numbers of errors are
// a matter of where it lies.
func TestClan(t *testing.T) {
	for name, world := range clanWorlds() {
		t.Run(name, func(t *testing.T) {
			x, ref := world(t)
			l := &flake.Loader{Nix: x, System: "x86_64-linux", Workers: 2}
			got := map[string]any{}
			for _, toplevel := range []bool{false, true} {
				fleet, err := l.LoadFor(t.Context(), ref, "", nil, toplevel)
				if err != nil {
					t.Fatal(err)
				}
				all, err := l.Details(t.Context(), fleet, []string{"broken", "db", "mac", "web"}, toplevel)
				if err != nil {
					t.Fatal(err)
				}
				if len(all.Failed) != 1 || !strings.Contains(all.Failed["broken"].Error(), "nobody knows the files") {
					t.Errorf("got %v", all.Failed)
				}
				what := "vars"
				if toplevel {
					what = "systems"
				}
				got["inventory"], got["violations"], got[what] = fleet.Inventory, all.Violations, all.Details
				if fleet.Flavour != flake.Clan {
					t.Errorf("it is taken for %s", fleet.Flavour)
				}
			}
			data, err := json.MarshalIndent(got, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			data = append(storeHash.ReplaceAll(data, []byte("/nix/store/HASH-")), '\n')
			const want = "testdata/clan/want.json"
			if *update && name == "real" {
				if err := os.WriteFile(want, data, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(read(t, want), string(data)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// edited is the clan by hand with texts replaced.
func edited(t *testing.T, edits ...string) string {
	t.Helper()
	shape := read(t, "testdata/clan/shape.nix")
	for i := 0; i < len(edits); i += 2 {
		if !strings.Contains(shape, edits[i]) {
			t.Fatalf("the shape has no %q", edits[i])
		}
	}
	return nixtest.Flake(t, map[string]string{
		"flake.nix":  "{ outputs = _: import ./shape.nix; }",
		"shape.nix":  strings.NewReplacer(edits...).Replace(shape),
		"flake.lock": noInputs,
	})
}

func TestClanEdited(t *testing.T) {
	text := func(message string) string {
		message, _, _ = strings.Cut(message, ", at /")
		return message
	}
	sops := `"clan_lib.vars.secret_modules.sops"`
	for _, tt := range []struct {
		name     string
		edits    []string
		toplevel bool
		check    func(*flake.Evaluated) any
		want     any
	}{
		{
			name:  "a script that is not for this platform",
			edits: []string{`finalScript = derived "generator-${name}"`, `finalScript = if name == "key" then throw "not here" else derived name`},
			check: func(e *flake.Evaluated) any {
				g := e.Details["web"].Generators
				return []bool{g["key"].Script != nil, g["ca"].Script != nil}
			},
			want: []bool{false, true},
		},
		{
			name:  "another store",
			edits: []string{sops, `"clan_lib.vars.secret_modules.password_store"`},
			check: func(e *flake.Evaluated) any { return e.Details["web"].Store.Secret },
			want:  "password-store",
		},
		{
			name:  "a store of its own",
			edits: []string{sops, `"our.own.secret_modules.vault"`},
			check: func(e *flake.Evaluated) any { return e.Details["web"].Store.Secret },
			want:  "our.own.secret_modules.vault",
		},
		{
			name: "the age store",
			edits: []string{
				sops, `"clan_cli.vars.secret_modules.age"`,
				"sops.secretUploadDirectory", `age.secretLocation = "/etc/secret-vars"; sops.secretUploadDirectory`,
				"hosts = { };\n      default = [ ];", `hosts.web = [ "age1web" ]; default = [ "age1all" ];`,
				"throw \"the path of a secret evaluates all of them\"", `"/run/secrets/${self.rel_dir}/${file}"`,
			},
			check: func(e *flake.Evaluated) any {
				web := e.Details["web"]
				return []any{web.Store, e.Details["db"].Store.Recipients, web.SecretUploadDirectory, web.Generators["monitor"].Files["token"].Path}
			},
			want: []any{
				flake.Store{Secret: "age", Public: "in_repo", Groups: []string{"admins"}, Recipients: []string{"age1web"}},
				[]string{"age1all"},
				"/etc/secret-vars", "/run/secrets/per-machine/web/monitor/token",
			},
		},
		{
			name:  "an older clan-core",
			edits: []string{"rel_dir =", "older ="},
			check: func(e *flake.Evaluated) any {
				return e.Details["db"].Generators["monitor"].Files["token"].Path
			},
			want: "",
		},
		{
			name: "networks", toplevel: true,
			edits: []string{
				`clan.exports = {`, `clan.exports = {
					"tor:onion::".networking = { priority = 10; module = "clan_lib.network.tor"; };
					"tor:onion:default:db".peer.hosts = [ { var = { machine = "db"; generator = "tor"; file = "hostname"; flake = ./.; }; } ];
					"vpn:vpn::".networking = { priority = 3000; module = "their.network"; };
					"vpn:vpn:default:db".peer.hosts = [ { plain = throw "no address yet"; } ];
					"strange" = { };`,
			},
			check: func(e *flake.Evaluated) any { return e.Details["db"].Networks },
			want: []flake.Network{
				{Name: "internet", Technology: "direct", Priority: 2000, User: "admin", Port: 2222, Hosts: []flake.Host{{Plain: "192.0.2.2"}}},
				{Name: "onion", Technology: "tor", Priority: 10, Port: 22, Hosts: []flake.Host{{Var: &flake.ValueRef{Machine: "db", Generator: "tor", File: "hostname"}}}},
			},
		},
		{
			name:  "constraints that do not evaluate",
			edits: []string{"cliChecks = [", `cliChecks = throw "no such service" ++ [`},
			check: func(e *flake.Evaluated) any { return []any{text(e.Violations[0]), e.Names()} },
			want:  []any{"what services demand cannot be evaluated: no such service", []string{"db", "mac", "web"}},
		},
		{
			name:  "another platform",
			edits: []string{"machines.x86_64-linux =", "machines.riscv64-linux ="},
			check: func(e *flake.Evaluated) any { return text(e.Failed["web"].Error()) },
			want:  "it does not evaluate: clan-core evaluates machines for administrators on riscv64-linux, but not on x86_64-linux: work on one of these",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, _ := loader(t)
			l.System = "x86_64-linux"
			dir := edited(t, tt.edits...)
			fleet, err := l.LoadFor(t.Context(), dir, dir, nil, tt.toplevel)
			if err != nil {
				t.Fatal(err)
			}
			got, err := l.Details(t.Context(), fleet, []string{"broken", "db", "mac", "web"}, tt.toplevel)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, tt.check(got)); diff != "" {
				t.Errorf("%s\n%v", diff, got.Errors())
			}
		})
	}
}

// One evaluation for a command, nothing for the next one; a machine that fails
// costs one more, for its error.
func TestClanEvaluations(t *testing.T) {
	l, x := loader(t)
	l.Workers = 1
	dir := edited(t, `throw "nobody knows the files"`, `{ }`)
	for i, step := range []struct {
		machines []string
		evals    int32
	}{
		{[]string{"web"}, 1},
		{[]string{"web"}, 0},
		{[]string{"web", "db"}, 1}, // of db
		{[]string{"broken", "db", "mac", "web"}, 1},
		{[]string{"broken", "db", "mac", "web"}, 0},
	} {
		before := x.evals.Load()
		fleet, err := l.LoadFor(t.Context(), dir, dir, step.machines, false)
		if err != nil {
			t.Fatal(err)
		}
		got, err := l.Details(t.Context(), fleet, step.machines, false)
		if err != nil {
			t.Fatal(err)
		}
		if n := x.evals.Load() - before; n != step.evals || len(got.Details) != len(step.machines) || len(got.Violations) != 1 {
			t.Errorf("step %d: %d evaluations, %d machines, violations %q", i, n, len(got.Details), got.Violations)
		}
	}

	l, x = loader(t)
	dir = edited(t)
	fleet, err := l.LoadFor(t.Context(), dir, dir, []string{"web", "broken"}, false)
	if err != nil {
		t.Fatal(err)
	}
	got, err := l.Details(t.Context(), fleet, []string{"web", "broken"}, false)
	if err != nil || len(got.Details) != 1 || len(got.Failed) != 1 {
		t.Errorf("got %v, %v", got, err)
	}
	if n := x.evals.Load(); n != 2 {
		t.Errorf("a machine that fails costs %d evaluations", n)
	}
}
