package vars

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/bcrypt"

	"github.com/crs58/fleet/internal/flake"
)

// A file is added: only it is made, what was there stays to the byte, and what
// reads both sees the old beside the new.
func TestKeepMakesOnlyWhatIsMissing(t *testing.T) {
	pair := func(n string) *genT {
		return asks(valid(gen("pair", `echo `+n+` > $out/a; echo `+n+` > $out/b`, "a", "b"), "hash-"+n), "word", true)
	}
	first := asks(valid(gen("pair", `echo one > $out/a`, "a"), "hash-one"), "word", true)
	w := newWorld(t, one(first))
	w.opts.Sources.Answers = Answers{"web": {"pair": {"word": "spoken"}}}
	w.generate(Request{})
	before := w.snapshot()
	w.opts.Sources.Answers = nil

	w.set(one(pair("two"), needs(gen("both", `cat $in/pair/* > $out/all`, "all"), "pair")))
	p := w.plan(Request{Keep: []string{"pair"}})
	if want := (Step{ID: ID{Machine: "web", Name: "pair"}, Missing: []string{"b"}, Replaces: []string{}, Keeps: []string{"a", "word"}}); len(p.Steps) != 2 ||
		!slices.Equal(p.Steps[0].Keeps, want.Keeps) || !slices.Equal(p.Steps[0].Missing, want.Missing) || len(p.Steps[0].Replaces) > 0 || !p.Steps[0].Prompts[0].Stored {
		t.Errorf("the plan is\n%s", p)
	}
	w.generate(Request{Keep: []string{"pair"}})
	if got := w.get("web", "both/all"); got != "one\ntwo\nspoken" {
		t.Errorf("the dependent has read %q", got)
	}
	after := w.snapshot()
	for name, data := range before {
		if strings.Contains(name, "validation-hash") {
			data = "hash-two"
		}
		if after[name] != data {
			t.Errorf("%s has changed", name)
		}
	}
	if p := w.plan(Request{}); !p.Empty() {
		t.Errorf("something is left to do:\n%s", p)
	}
}

// The validation has changed and the values fit nevertheless.
func TestKeepAcceptsValues(t *testing.T) {
	w := newWorld(t, one(gen("cert", `echo > $out/c`, "c")))
	w.generate(Request{})
	before := w.snapshot()
	w.set(one(valid(gen("cert", `exit 1`, "c"), "hash")))
	if _, err := w.run(Request{}); err == nil || !strings.Contains(err.Error(), "`--keep cert` takes them as they are") {
		t.Errorf("got %v", err)
	}
	report := w.generate(Request{Keep: []string{"cert"}})
	if diff := cmp.Diff([]string{"sops/machines/web/facts/cert/.validation-hash"}, report.Paths); diff != "" || len(report.Accepted) != 1 {
		t.Errorf("accepted %v, wrote (-want +got):\n%s", report.Accepted, diff)
	}
	after := w.snapshot()
	delete(after, "sops/machines/web/facts/cert/.validation-hash")
	if diff := cmp.Diff(before, after); diff != "" {
		t.Error(diff)
	}
	if p := w.plan(Request{}); !p.Empty() {
		t.Errorf("something is left to do:\n%s", p)
	}
}

func TestKeepAndRegenerateExclude(t *testing.T) {
	w := newWorld(t, one(gen("a", "", "f")))
	if _, err := w.fleet.Plan(t.Context(), Request{Keep: []string{"a"}, Regenerate: []string{"a"}}); err == nil || err.Error() != "the values of a can be made anew or kept, not both" {
		t.Errorf("got %v", err)
	}
	if _, err := w.fleet.Plan(t.Context(), Request{Keep: []string{"aa"}}); err == nil || !strings.Contains(err.Error(), "no selected machine has a generator aa") {
		t.Errorf("got %v", err)
	}
}

// When what is to be kept beside something new cannot be made, nothing changes.
func TestKeepFails(t *testing.T) {
	w := newWorld(t, one(gen("id", `echo > $out/a`, "a")))
	w.generate(Request{})
	w.set(one(gen("id", `echo 2 > $out/a`, "a", "b")))
	before := w.snapshot()
	_, err := w.run(Request{Keep: []string{"id"}})
	if err == nil || !strings.Contains(err.Error(), "generator id on web did not write b; it wrote a") {
		t.Errorf("got %v", err)
	}
	if diff := cmp.Diff(before, w.snapshot()); diff != "" {
		t.Error(diff)
	}
}

// builtin is a generator that is built in.
func builtIn(name, kind, settings string, files ...string) *genT {
	g := gen(name, "", files...)
	g.Script, g.Builtin = nil, &flake.Builtin{Kind: kind, Settings: json.RawMessage(settings)}
	return g
}

// What belongs to a secret that is there is made from it, without a question.
func TestBuiltinMakesTheRestFromItsSource(t *testing.T) {
	w := newWorld(t, one(
		builtIn("ssh", "ssh-key", `{"comment":"c"}`, "id_ed25519", "id_ed25519.pub:public"),
		builtIn("age", "age-key", `{}`, "key.txt", "key.pub:public"),
		builtIn("wg", "wireguard", `{}`, "privatekey", "publickey:public"),
		builtIn("login", "password", `{"length":8}`, "password:local", "hash"),
		builtIn("ca", "x509-ca", `{"commonName":"CA","days":9}`, "ca.key:local", "ca.crt:public"),
		needs(builtIn("tls", "x509-leaf", `{"ca":"ca","commonName":"a.example","days":9}`, "tls.key", "tls.crt:public"), "ca"),
	))
	w.generate(Request{})
	gone := []string{
		"facts/ssh/id_ed25519.pub", "facts/age/key.pub", "facts/wg/publickey", "secrets/login/hash", "facts/ca/ca.crt", "facts/tls/tls.crt",
	}
	for _, name := range gone {
		if err := os.Remove(filepath.Join(w.root, "sops/machines/web", name)); err != nil {
			t.Fatal(err)
		}
	}
	before := w.snapshot()
	was := map[string]string{}
	for _, name := range gone[:3] {
		_, value, _ := strings.Cut(name, "/")
		was[value] = string(w.git("show", ":sops/machines/web/"+name))
	}

	p := w.plan(Request{})
	if got := p.String(); !strings.Contains(got, "login on web: makes hash from the password that is there\n") || len(p.Refused) > 0 {
		t.Errorf("plan:\n%s", got)
	}
	w.generate(Request{})
	after := w.snapshot()
	if got := len(after) - len(before); got != len(gone) {
		t.Errorf("%d files were made", got)
	}
	for name, data := range before {
		if after[name] != data {
			t.Errorf("%s has changed", name)
		}
	}
	for value, want := range was {
		if got := w.get("web", value); got != want {
			t.Errorf("%s: got %q, want %q", value, got, want)
		}
	}
	if err := bcrypt.CompareHashAndPassword([]byte(w.get("web", "login/hash")), []byte(w.get("web", "login/password"))); err != nil {
		t.Error(err)
	}
	pair, err := tls.X509KeyPair([]byte(w.get("web", "tls/tls.crt")), []byte(w.get("web", "tls/tls.key")))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(w.get("web", "ca/ca.crt")))
	if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: "a.example"}); err != nil {
		t.Error(err)
	}
}

// Nothing leads from a public key back to the private one, and a new one beside
// it would be a lie: --keep does not do it either.
func TestBuiltinSourceIsMissing(t *testing.T) {
	w := newWorld(t, one(builtIn("ssh", "ssh-key", `{"comment":""}`, "id_ed25519", "id_ed25519.pub:public")))
	w.generate(Request{})
	if err := os.Remove(filepath.Join(w.root, "sops/machines/web/secrets/ssh/id_ed25519")); err != nil {
		t.Fatal(err)
	}
	before := w.snapshot()
	for _, req := range []Request{{}, {Keep: []string{"ssh"}}} {
		_, err := w.run(req)
		if err == nil || !strings.Contains(err.Error(), "generator ssh on web: id_ed25519 is missing while id_ed25519.pub exists, from which it cannot be had; restore it from git, or `--regenerate ssh`") {
			t.Errorf("got %v", err)
		}
	}
	if diff := cmp.Diff(before, w.snapshot()); diff != "" {
		t.Error(diff)
	}
}
