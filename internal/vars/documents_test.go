package vars

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crs58/fleet/internal/flake"
	"github.com/crs58/fleet/internal/secrets"
)

// sopsTool finds the real program, which the setup of the project brings.
func sopsTool(t testing.TB) string {
	t.Helper()
	if file, err := filepath.Abs("../../.cache/bin/sops"); err == nil {
		if _, err := os.Stat(file); err == nil {
			return file
		}
	}
	file, err := exec.LookPath("sops")
	if err != nil {
		t.Fatal("there is no sops: run .ci/setup")
	}
	return file
}

// sops runs the sops program in the repository.
func (w *world) sops(private []byte, args ...string) string {
	w.t.Helper()
	cmd := exec.Command(sopsTool(w.t), args...)
	cmd.Dir = w.root
	cmd.Env = []string{"HOME=/nonexistent", "PATH=" + os.Getenv("PATH"), "SOPS_AGE_KEY=" + string(private)}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		w.t.Fatalf("sops %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return string(out)
}

// seal writes a sops file for whom .sops.yaml names, or for recipients.
func (w *world) seal(name, plain string, recipients ...string) {
	w.t.Helper()
	w.write(name, plain)
	args := []string{"encrypt", name}
	if len(recipients) > 0 {
		config := filepath.Join(w.t.TempDir(), "sops.yaml")
		if err := os.WriteFile(config, []byte("creation_rules: [{age: '"+strings.Join(recipients, ",")+"'}]"), 0o600); err != nil {
			w.t.Fatal(err)
		}
		args = append([]string{"--config", config}, args...)
	}
	w.write(name, w.sops(nil, args...))
}

// replace changes the .sops.yaml.
func (w *world) replace(pairs ...string) {
	w.t.Helper()
	before := w.snapshot()[".sops.yaml"]
	after := strings.NewReplacer(pairs...).Replace(before)
	if after == before {
		w.t.Fatalf("there is no %q in\n%s", pairs, before)
	}
	w.write(".sops.yaml", after)
}

func (w *world) machineKey(machine string) string {
	w.t.Helper()
	holder, err := w.fleet.Layout.Machine(machine)
	if err != nil {
		w.t.Fatal(err)
	}
	return holder.Recipients()[0]
}

// tiers is a fleet whose people also keep sops files of their own, with keys for
// tests: alice runs fleet, bob is another administrator.
type tiers struct {
	*world
	alice, bob, outsider string
	alicePrivate         []byte
	asBob, asOutsider    *secrets.Identities
}

const plainYAML = "# about it\nb: two # behind\na: canary\n"

func newTiers(t *testing.T) *tiers {
	t.Helper()
	w := &tiers{world: newWorld(t, map[string][]*genT{
		"cinnabar": {gen("root", `echo canary > $out/hash`, "hash")},
		"electrum": {gen("zfs", `echo zfs > $out/key`, "key")},
	})}
	// The world's key is not told; this one is known to the sops program too.
	var err error
	if w.alice, w.alicePrivate, err = secrets.NewAgeKey(); err != nil {
		t.Fatal(err)
	}
	w.fleet.Identities = identities(t, w.alicePrivate)
	w.remove("sops/users/alice")
	w.admin("alice", w.alice)
	w.bob, w.asBob = keyPair(t)
	w.admin("bob", w.bob)
	w.outsider, w.asOutsider = keyPair(t)
	w.keyJSON("sops/recovery/key.json")
	w.generate(Request{})
	w.write(".sops.yaml", fmt.Sprintf(`keys:
  # people
  - &alice %s # from her ssh key
  - &bob %s
  # machines
  - &cinnabar %s
  - &electrum %s

creation_rules:
  - path_regex: secrets/bridge/.*
    key_groups:
      - age:
          - *alice
          - *cinnabar # reads it at boot
  - path_regex: secrets/users/bob/.*\.yaml$
    key_groups:
      - age: [*bob]
  - path_regex: secrets/.*
    key_groups:
      - age: [*alice, *bob, *electrum]
  - path_regex: .*\.yaml$
    age: %s,
      %s
`, w.alice, w.bob, w.machineKey("cinnabar"), w.machineKey("electrum"), w.alice, w.bob))
	w.seal("secrets/bridge/alice-age-key.enc", "a key\x00\xff")
	w.seal("secrets/users/bob/own.yaml", plainYAML)
	w.seal("secrets/shared.yaml", plainYAML)
	w.seal("secrets/app.env", "# comment\nA=canary\n")
	w.seal("secrets/app.ini", "[a]\nb = canary\n")
	w.seal("clusters/local.enc.yaml", plainYAML)
	w.write("docs/about.md", "sops files look so:\n\n```yaml\nsops:\n    mac: ENC[AES256_GCM,data:x,iv:x,tag:x,type:str]\n```\n")
	w.write("secrets/README.md", "secrets")
	w.write("ci.yaml", "jobs: []\n")
	w.track()
	return w
}

// copy makes another repository of the same content.
func (w *tiers) copy(t *testing.T) *tiers {
	t.Helper()
	root := t.TempDir()
	if err := os.CopyFS(root, os.DirFS(w.root)); err != nil {
		t.Fatal(err)
	}
	layout, err := secrets.OpenNative(root)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = layout.Close() })
	fleet, other := *w.fleet, *w
	fleet.Root, fleet.Layout = root, layout
	fleet.Inventory = &flake.Inventory{Machines: maps.Clone(w.fleet.Inventory.Machines)}
	other.world = &world{t: t, root: root, fleet: &fleet, opts: w.opts}
	return &other
}

func (w *world) track() {
	w.t.Helper()
	w.git("add", ".")
	w.git("commit", "--quiet", "--allow-empty", "--message=all")
}

// The rest of the cases of a real repository (research/user-repo.md 3.13), and
// others: those about sops files that are no values.
func TestAuditDocuments(t *testing.T) {
	well := newTiers(t)
	for _, tt := range []struct {
		name   string
		damage func(w *tiers)
		want   []string // of findings, each of which must be told by one
		notes  []string
	}{
		{name: "well", damage: func(*tiers) {}},
		{
			name:   "an anchor that is another key than the machine's",
			damage: func(w *tiers) { w.replace("&electrum "+w.machineKey("electrum"), "&electrum "+w.outsider) },
			want: []string{
				"secrets/app.env: it cannot be read by &electrum of .sops.yaml; run `fleet vars fix`\n",
				"secrets/app.env: it can also be read by machine electrum; run `fleet vars fix`; if they should not know it, change what is in it with `sops secrets/app.env`\n",
				"secrets/app.ini: it cannot", "secrets/app.ini: it can also",
				"secrets/shared.yaml: it cannot", "secrets/shared.yaml: it can also",
				".sops.yaml: &electrum in line 7 is another key than the machine has; put age1",
			},
		},
		{
			name: "an anchor without machine",
			damage: func(w *tiers) {
				w.replace("\n\ncreation", "\n  - &orb-nixos "+w.outsider+"\n\ncreation")
			},
			notes: []string{".sops.yaml: &orb-nixos in line 8 stands among machines, and there is no machine orb-nixos"},
		},
		{
			name: "an anchor of a machine that was taken out of the fleet",
			damage: func(w *tiers) {
				key := w.keyJSON("sops/machines/gcp-vm/key.json")
				w.replace("\n\ncreation", "\n  - &gcp-vm "+key+"\n\ncreation")
			},
			want: []string{
				"gcp-vm: it is not in the inventory, but has keys",
				".sops.yaml: &gcp-vm in line 8 is the key of a machine that is not in the inventory; take it out, then run `fleet vars fix`\n",
			},
		},
		{
			name: "a machine key without anchor",
			damage: func(w *tiers) {
				w.replace("  - &cinnabar "+w.machineKey("cinnabar")+"\n", "", "          - *cinnabar # reads it at boot\n", "")
			},
			want:  []string{"secrets/bridge/alice-age-key.enc: it can also be read by machine cinnabar;"},
			notes: []string{".sops.yaml names keys of machines, but none of cinnabar"},
		},
		{
			name: "a machine without key has an anchor",
			damage: func(w *tiers) {
				w.set(map[string][]*genT{"cinnabar": nil, "electrum": nil, "blackphos": nil})
				w.remove("sops/machines/electrum/secrets")
				w.remove("sops/machines/cinnabar/secrets")
				w.replace("\n\ncreation", "\n  - &blackphos "+w.outsider+"\n\ncreation")
			},
		},
		{
			name:   "encrypted to an old key, and the machine missing",
			damage: func(w *tiers) { w.seal("secrets/bridge/alice-age-key.enc", "x", w.alice, w.outsider) },
			want: []string{
				"secrets/bridge/alice-age-key.enc: it cannot be read by machine cinnabar; run `fleet vars fix`\n",
				"secrets/bridge/alice-age-key.enc: it can also be read by the unknown key age1",
			},
		},
		{
			name: "no rule",
			damage: func(w *tiers) {
				w.seal("other/key.enc", "x", w.alice)
				w.track()
			},
			want: []string{"other/key.enc: no rule of .sops.yaml says who is to read it; add a rule, then run `fleet vars fix`\n"},
		},
		{
			name: "plaintext where a rule wants ciphertext",
			damage: func(w *tiers) {
				w.write("secrets/bridge/new.enc", "canary")
				w.write("secrets/shared.yaml", plainYAML)
				w.write("secrets/empty", "")
				w.write("secrets/default.nix", "{ }")
				w.track()
			},
			want: []string{
				"secrets/bridge/new.enc: a rule of .sops.yaml wants it encrypted, and it lies there in plain; run `sops encrypt --in-place secrets/bridge/new.enc`",
				"secrets/shared.yaml: a rule of .sops.yaml wants it encrypted",
			},
		},
		{
			name: "what git does not track",
			damage: func(w *tiers) {
				w.write("secrets/new", "canary")
				w.seal("secrets/other", "x", w.outsider)
			},
		},
		{
			name: "a private key",
			damage: func(w *tiers) {
				w.write("keys.txt", "# created: today\nAGE-SECRET-KEY-1canary\n")
				w.write("secrets/id", "-----BEGIN OPENSSH PRIVATE KEY-----\ncanary\n-----END OPENSSH PRIVATE KEY-----\n")
				w.write("about.md", "A key begins with AGE-SECRET-KEY-1 or -----BEGIN PRIVATE KEY-----.\n")
				w.track()
			},
			want: []string{"keys.txt: it is a private key, and lies there in plain;", "secrets/id: it is a private key"},
		},
		{
			name: "a damaged file",
			damage: func(w *tiers) {
				text := w.snapshot()["secrets/shared.yaml"]
				w.write("secrets/shared.yaml", strings.Replace(text, "a: ENC", "c: 1\na: ENC", 1))
				w.write("secrets/app.env", w.snapshot()["secrets/app.env"][:300]+"\nsops_mac=x\n")
			},
			want: []string{
				"secrets/app.env: not a sops file that can be understood",
				"secrets/shared.yaml: the file was changed after it was encrypted: restore it from git; restore it from git\n",
			},
		},
		{
			name:   "a .sops.yaml that cannot be read",
			damage: func(w *tiers) { w.write(".sops.yaml", "creation_rules: [") },
			want:   []string{".sops.yaml: it is not the YAML that sops reads"},
		},
		{
			name:   "a rule that cannot be used",
			damage: func(w *tiers) { w.replace("secrets/bridge/.*", "secrets/bridge/(") },
			want: []string{
				"secrets/app.env: the rule in line 10 of .sops.yaml cannot be used", "secrets/app.ini: ", "secrets/bridge/alice-age-key.enc: ",
				"secrets/shared.yaml: ", "secrets/users/bob/own.yaml: ", "clusters/local.enc.yaml: ",
			},
		},
		{
			name:   "no .sops.yaml",
			damage: func(w *tiers) { w.remove(".sops.yaml") },
			notes:  []string{"no .sops.yaml says who is to read the sops files that are no values (clusters/local.enc.yaml, secrets/app.env, secrets/app.ini, …)"},
		},
		{
			name: "a .sops.yaml further down",
			damage: func(w *tiers) {
				w.write("clusters/.sops.yaml", "creation_rules:\n- path_regex: ^local\n  age: "+w.alice+"\n")
				w.track()
			},
			want: []string{"clusters/local.enc.yaml: it can also be read by administrator bob;"},
		},
		{
			name:   "a PGP key that only sops can use",
			damage: func(w *tiers) { w.replace("    age: "+w.alice, "    pgp: A0B1\n    age: "+w.alice) },
			want:   []string{"clusters/local.enc.yaml: it is not encrypted to A0B1; run `sops updatekeys clusters/local.enc.yaml`"},
		},
		{
			name:   "several key groups",
			damage: func(w *tiers) { w.replace("age: [*bob]", "age: [*bob]\n      - age: [*alice]") },
			want:   []string{"secrets/users/bob/own.yaml: it cannot be read by administrator alice; run `sops updatekeys secrets/users/bob/own.yaml`\n"},
		},
		{
			name: "links and a submodule",
			damage: func(w *tiers) {
				outside := t.TempDir()
				if err := os.WriteFile(filepath.Join(outside, "x"), []byte("canary"), 0o600); err != nil {
					w.t.Fatal(err)
				}
				w.link(filepath.Join(outside, "x"), "secrets/outside.yaml")
				w.link("nowhere", "secrets/nowhere.yaml")
				w.link(outside, "secrets/folder")
				w.track()
			},
		},
		{
			name: "a key.json that cannot be used", damage: func(w *tiers) { w.write("sops/users/bob/key.json", "[]") },
			want:  []string{"sops/users/bob/key.json: "},
			notes: []string{"who can read which value"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := well.copy(t)
			tt.damage(w)
			findings, notes := w.audit(true)
			for _, want := range tt.want {
				if !strings.Contains(findings, want) {
					t.Errorf("got:\n%s\nwant %s", findings, want)
				}
			}
			if got := strings.Count(findings, "\n"); got != len(tt.want) {
				t.Errorf("%d findings, not %d:\n%s", got, len(tt.want), findings)
			}
			for _, want := range tt.notes {
				if !strings.Contains(notes, want) {
					t.Errorf("notes:\n%s\nwant %s", notes, want)
				}
			}
			if len(tt.notes) == 0 && notes != "" || strings.Contains(findings+notes, "canary") {
				t.Errorf("got:\n%s\nnotes: %s", findings, notes)
			}
			if some, _ := w.audit(false); strings.Contains(some, "secrets/") || strings.Contains(some, ".sops.yaml") {
				t.Errorf("of some machines: %s", some)
			}
		})
	}
}

// Without git every file counts, links and hidden folders do not.
func TestAuditDocumentsWithoutGit(t *testing.T) {
	w := newTiers(t)
	w.remove(".git")
	w.write("secrets/new", "canary")
	w.write(".cache/secrets/x", "canary")
	w.link("/", "secrets/root")
	findings, _ := w.audit(true)
	if findings != "secrets/new: a rule of .sops.yaml wants it encrypted, and it lies there in plain; run `sops encrypt --in-place secrets/new`; if it was ever committed, what is in it is known to everybody who has the repository: replace it\n" {
		t.Errorf("got:\n%s", findings)
	}
}

// agrees holds what sops reads of all documents against what was in them, and
// lets it look for keys to update.
func (w *tiers) agrees(private []byte, names ...string) {
	w.t.Helper()
	for _, name := range names {
		before := w.snapshot()[name]
		want := map[string]string{
			"secrets/bridge/alice-age-key.enc": "a key\x00\xff", "secrets/app.env": "# comment\nA=canary\n", "secrets/app.ini": "[a]\nb = canary\n",
		}[name]
		if want == "" { // sops itself puts a comment above what it stood behind
			want = "# about it\n# behind\nb: two\na: canary\n"
		}
		if got := w.sops(private, "decrypt", name); got != want {
			w.t.Errorf("%s: sops reads %q", name, got)
		}
		w.sops(private, "updatekeys", "--yes", name)
		if after := w.snapshot()[name]; after != before {
			w.t.Errorf("%s: sops updatekeys changes it:\n%s", name, cmp.Diff(before, after))
		}
	}
}

var allOfAlice = []string{"clusters/local.enc.yaml", "secrets/app.env", "secrets/app.ini", "secrets/bridge/alice-age-key.enc", "secrets/shared.yaml"}

func TestFixDocuments(t *testing.T) {
	w := newTiers(t)
	if err := os.Chmod(filepath.Join(w.root, "secrets/app.env"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.replace("*bob, *electrum", "*electrum, *cinnabar", "          - *cinnabar # reads it at boot\n", "          - *cinnabar\n          - *bob\n")
	before := w.snapshot()
	planned := w.fix(FixOptions{DryRun: true, Whole: true})
	var got []string
	for _, m := range planned.Mended {
		got = append(got, m.String()+" +"+strings.Join(m.Add, ",")+" -"+strings.Join(m.Remove, ","))
	}
	want := []string{
		"secrets/app.env +machine cinnabar -administrator bob", "secrets/app.ini +machine cinnabar -administrator bob",
		"secrets/bridge/alice-age-key.enc +administrator bob -", "secrets/shared.yaml +machine cinnabar -administrator bob",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if names := changed(before, w.snapshot()); names != nil {
		t.Fatalf("a dry run changed %q", names)
	}
	if some := w.fix(FixOptions{}); len(some.Mended) > 0 {
		t.Errorf("of some machines: %+v", some)
	}
	w.track()
	fixed := w.fix(FixOptions{Whole: true, Commit: true})
	if diff := cmp.Diff(planned.Mended, fixed.Mended); diff != "" {
		t.Error(diff)
	}
	rotate := Rotation{Value: "secrets/app.env", KnownBy: []string{"administrator bob"}, Mend: "change what is in it with `sops secrets/app.env`"}
	if len(fixed.Rotate) != 3 || cmp.Diff(rotate, fixed.Rotate[0]) != "" {
		t.Errorf("got %+v", fixed.Rotate)
	}
	w.agrees(w.alicePrivate, allOfAlice...)
	after := w.snapshot()
	// Whoever is removed has the old data key; who is added gets the same one.
	for name, same := range map[string]bool{"secrets/shared.yaml": false, "secrets/bridge/alice-age-key.enc": true} {
		_, old, _ := strings.Cut(before[name], "data:")
		old, _, _ = strings.Cut(old, ",")
		if strings.Contains(after[name], old) != same {
			t.Errorf("%s:\n%s", name, after[name])
		}
	}
	if info, err := os.Stat(filepath.Join(w.root, "secrets/app.env")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	if findings, _ := w.audit(true); findings != "" {
		t.Errorf("left:\n%s", findings)
	}
	if log := w.git("status", "--porcelain") + w.git("log", "-1", "--format=%s%n%b"); !strings.HasPrefix(log, "fix(vars): re-encrypt without readers that should not be\n") || !strings.Contains(log, "administrator bob") {
		t.Errorf("git says:\n%s", log)
	}
	if again := w.fix(FixOptions{Whole: true}); len(again.Mended) > 0 {
		t.Errorf("again: %+v", again)
	}
}

// What does not open is told, and the others are mended.
func TestFixDocumentsOfOthers(t *testing.T) {
	w := newTiers(t)
	w.replace("age: [*bob]", "age: [*bob, *electrum]", "*alice, *bob, *electrum", "*alice, *electrum")
	fixed, err := w.fleet.Fix(t.Context(), FixOptions{Whole: true, Now: keysOptions.Now})
	if err == nil || !strings.Contains(err.Error(), "cannot be opened with your keys (secrets/users/bob/own.yaml)") || len(fixed.Mended) != 3 {
		t.Errorf("%+v, %v", fixed, err)
	}
	// A file with a PGP key beside keeps it, and its data key with it.
	const pgp = "    pgp:\n        - created_at: \"2026-01-01T00:00:00Z\"\n          enc: x\n          fp: A0B1\n"
	w = newTiers(t)
	w.replace("    age: "+w.alice+",\n      "+w.bob, "    pgp: A0B1\n    age: "+w.alice)
	name := "clusters/local.enc.yaml"
	w.write(name, strings.Replace(w.snapshot()[name], "    unencrypted_suffix", pgp+"    unencrypted_suffix", 1))
	fixed = w.fix(FixOptions{Whole: true})
	if len(fixed.Rotate) != 1 || !strings.HasPrefix(fixed.Rotate[0].Mend, "run `sops rotate --in-place clusters/local.enc.yaml`") {
		t.Errorf("got %+v", fixed)
	}
	if text := w.snapshot()[name]; !strings.Contains(text, pgp) || strings.Contains(text, w.bob) {
		t.Errorf("got:\n%s", text)
	}
	w.agrees(w.alicePrivate, name)
}

func TestRotateMachineKeyInDocuments(t *testing.T) {
	w := newTiers(t)
	before, old := w.snapshot(), w.machineKey("cinnabar")
	dry := keysOptions
	dry.DryRun = true
	planned, err := w.fleet.RotateMachineKey(t.Context(), "cinnabar", dry)
	must(t, planned, err)
	if names := changed(before, w.snapshot()); names != nil {
		t.Fatalf("a dry run changed %q", names)
	}
	commit := keysOptions
	commit.Commit = true
	report, err := w.fleet.RotateMachineKey(t.Context(), "cinnabar", commit)
	must(t, report, err)
	if diff := cmp.Diff(planned.Paths, report.Paths); diff != "" || !slices.Contains(report.Paths, ".sops.yaml") || !slices.Contains(report.Reencrypted, "secrets/bridge/alice-age-key.enc") {
		t.Errorf("%s%+v", diff, report)
	}
	after := w.snapshot()
	if want := strings.ReplaceAll(before[".sops.yaml"], old, w.machineKey("cinnabar")); after[".sops.yaml"] != want || want == before[".sops.yaml"] {
		t.Error(cmp.Diff(want, after[".sops.yaml"]))
	}
	w.agrees(w.alicePrivate, allOfAlice...)
	private, err := secrets.MachinePrivateKey(t.Context(), w.fleet.Layout, "cinnabar", w.fleet.Identities)
	if err != nil {
		t.Fatal(err)
	}
	w.agrees(private, "secrets/bridge/alice-age-key.enc")
	if findings, _ := w.audit(true); findings != "" {
		t.Errorf("left:\n%s", findings)
	}
	if got := w.git("status", "--porcelain"); got != "" {
		t.Errorf("git says %q", got)
	}

	// The machine would lose a file that nobody here can open: nothing is done.
	w.replace("age: [*bob]", "age: [*bob, *cinnabar]")
	w.seal("secrets/users/bob/own.yaml", plainYAML)
	before = w.snapshot()
	if report, err := w.fleet.RotateMachineKey(t.Context(), "cinnabar", keysOptions); report != nil || err == nil || !strings.Contains(err.Error(), "nothing was changed, because secrets/users/bob/own.yaml") {
		t.Errorf("%+v, %v", report, err)
	}
	if names := changed(before, w.snapshot()); names != nil {
		t.Errorf("changed %q", names)
	}
}

func TestRemoveKeyFromDocuments(t *testing.T) {
	w := newTiers(t)
	before := w.snapshot()
	report, err := w.fleet.RemoveKey(t.Context(), "bob", "", keysOptions)
	must(t, report, err)
	after := w.snapshot()
	// His own rule and file have no other key, and stay; so does his anchor.
	if diff := cmp.Diff([]string{".sops.yaml: the rule in line 15 has no other key: name one there, then run `fleet vars fix`"}, report.Damaged); diff != "" {
		t.Error(diff)
	}
	want := strings.NewReplacer("*alice, *bob, *electrum", "*alice, *electrum", w.alice+",\n      "+w.bob, w.alice).Replace(before[".sops.yaml"])
	if diff := cmp.Diff(want, after[".sops.yaml"]); diff != "" {
		t.Error(diff)
	}
	if after["secrets/users/bob/own.yaml"] != before["secrets/users/bob/own.yaml"] {
		t.Error("his own file was changed")
	}
	for _, name := range []string{"clusters/local.enc.yaml", "secrets/app.env", "secrets/shared.yaml"} {
		if strings.Contains(after[name], w.bob) || !slices.Contains(report.Reencrypted, name) || !slices.Contains(report.Rotate, Seen{name, "sops " + name}) {
			t.Errorf("%s in %+v", name, report)
		}
	}
	w.agrees(w.alicePrivate, allOfAlice...)
	if findings, _ := w.audit(true); findings != "" {
		t.Errorf("left:\n%s", findings)
	}
	if w.as(w.asBob).readsAny() {
		t.Error("bob still reads")
	}
}

// readsAny tells whether a value or machine key opens.
func (w *world) readsAny() bool {
	w.t.Helper()
	all, _, err := w.fleet.envelopes(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return slices.ContainsFunc(all, func(e envelope) bool {
		_, err := secrets.Open(w.t.Context(), w.fleet.Layout, e.ref, w.fleet.Identities)
		return err == nil
	})
}

// One transaction: if one file cannot be staged, none is changed.
func TestKeysOfDocumentsAllOrNothing(t *testing.T) {
	w := newTiers(t)
	if err := os.MkdirAll(filepath.Join(w.root, "secrets/.shared.yaml.fleet-new/x"), 0o755); err != nil {
		t.Fatal(err)
	}
	before := w.snapshot()
	report, err := w.fleet.RemoveKey(t.Context(), "bob", "", keysOptions)
	if report != nil || err == nil || !strings.Contains(err.Error(), "nothing was changed") {
		t.Errorf("%+v, %v", report, err)
	}
	if names := changed(before, w.snapshot()); names != nil {
		t.Errorf("changed %q", names)
	}
	w.remove("secrets/.shared.yaml.fleet-new")
	if fixed := w.fix(FixOptions{Whole: true}); fixed.Recovered == "" || len(fixed.Mended) > 0 {
		t.Errorf("got %+v", fixed)
	}
	if names := changed(before, w.snapshot()); names != nil {
		t.Errorf("changed %q", names)
	}
}

// What a removed administrator shared with somebody else only, that one mends.
func TestRemoveKeyFromDocumentsOfOthers(t *testing.T) {
	w := newTiers(t)
	w.replace("age: [*bob]", "age: [*bob, *electrum]")
	w.seal("secrets/users/bob/own.yaml", plainYAML)
	report, err := w.fleet.RemoveKey(t.Context(), "bob", "", keysOptions)
	must(t, report, err)
	if len(report.Damaged) != 1 || !strings.HasPrefix(report.Damaged[0], "secrets/users/bob/own.yaml: it cannot be opened with your keys") {
		t.Errorf("got %+v", report)
	}
	if text := w.snapshot()[".sops.yaml"]; strings.Contains(text, w.bob) || strings.Contains(text, "bob,") {
		t.Errorf("got:\n%s", text)
	}
	if findings, _ := w.audit(true); !strings.Contains(findings, "secrets/users/bob/own.yaml: it can also be read by the unknown key "+w.bob) || strings.Count(findings, "\n") != 1 {
		t.Errorf("left:\n%s", findings)
	}
}

func TestAddKeyToDocuments(t *testing.T) {
	w := newTiers(t)
	before := w.snapshot()
	public, private, err := secrets.NewAgeKey()
	if err != nil {
		t.Fatal(err)
	}
	report, err := w.fleet.AddKey(t.Context(), "alice", public, keysOptions)
	must(t, report, err)
	after := w.snapshot()
	want := strings.NewReplacer(
		w.alice+" # from her ssh key\n", w.alice+" # from her ssh key\n  - &alice-2 "+public+"\n",
		"          - *alice\n", "          - *alice\n          - *alice-2\n",
		"[*alice,", "[*alice, *alice-2,",
		w.alice+",\n      ", w.alice+",\n      "+public+",\n      ",
	).Replace(before[".sops.yaml"])
	if diff := cmp.Diff(want, after[".sops.yaml"]); diff != "" {
		t.Error(diff)
	}
	w.agrees(private, allOfAlice...)
	if findings, _ := w.audit(true); findings != "" {
		t.Errorf("left:\n%s", findings)
	}
	report, err = w.fleet.AddKey(t.Context(), "alice", public, keysOptions)
	if must(t, report, err); len(report.Paths) > 0 {
		t.Errorf("again: %+v", report)
	}
	// What another could not open is done by who can, with the same command.
	w.write("secrets/shared.yaml", before["secrets/shared.yaml"])
	report, err = w.as(w.asOutsider).fleet.AddKey(t.Context(), "alice", public, keysOptions)
	if must(t, report, err); !slices.Equal(report.Locked, []string{"secrets/shared.yaml"}) {
		t.Errorf("got %+v", report)
	}
	report, err = w.fleet.AddKey(t.Context(), "alice", public, keysOptions)
	if must(t, report, err); !slices.Equal(report.Paths, []string{"secrets/shared.yaml"}) {
		t.Errorf("got %+v", report)
	}
	// Taken away again, nothing is left of it.
	report, err = w.fleet.RemoveKey(t.Context(), "alice", public, keysOptions)
	must(t, report, err)
	if text := w.snapshot()[".sops.yaml"]; text != before[".sops.yaml"] {
		t.Error(cmp.Diff(before[".sops.yaml"], text))
	}
	w.agrees(w.alicePrivate, allOfAlice...)

	// A new administrator is given nobody's own files.
	before = w.snapshot()
	report, err = w.fleet.AddKey(t.Context(), "carol", w.outsider, keysOptions)
	must(t, report, err)
	if names := changed(before, w.snapshot()); slices.ContainsFunc(names, func(name string) bool { return !strings.HasPrefix(name, "sops/") }) {
		t.Errorf("changed %q", names)
	}
}

// A .sops.yaml that is not edited stops the change before it begins.
func TestKeysRefuseRules(t *testing.T) {
	for name, damage := range map[string]func(w *tiers){
		"not understood": func(w *tiers) { w.write(".sops.yaml", "keys: ["+w.bob) },
		"an odd style": func(w *tiers) {
			w.replace("  - &bob "+w.bob+"\n", "  - &bob\n    "+w.bob+"\n", "age: [*bob]", "age: [*alice]")
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newTiers(t)
			damage(w)
			before := w.snapshot()
			report, err := w.fleet.RemoveKey(t.Context(), "bob", "", keysOptions)
			if report != nil || err == nil || !strings.Contains(err.Error(), "nothing was changed, because the key stands in .sops.yaml") {
				t.Errorf("%+v, %v", report, err)
			}
			if names := changed(before, w.snapshot()); names != nil {
				t.Errorf("changed %q", names)
			}
		})
	}
}
