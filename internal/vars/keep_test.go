package vars

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/bcrypt"

	"github.com/crs58/fleet/internal/flake"
	"github.com/crs58/fleet/internal/secrets"
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
func builtin(name, kind, settings string, files ...string) *genT {
	g := gen(name, "", files...)
	g.Script, g.Builtin = nil, &flake.Builtin{Kind: kind, Settings: json.RawMessage(settings)}
	return g
}

// What belongs to a secret that is there is made from it, without a question.
func TestBuiltinMakesTheRestFromItsSource(t *testing.T) {
	w := newWorld(t, one(
		builtin("ssh", "ssh-key", `{"comment":"c"}`, "id_ed25519", "id_ed25519.pub:public"),
		builtin("age", "age-key", `{}`, "key.txt", "key.pub:public"),
		builtin("wg", "wireguard", `{}`, "privatekey", "publickey:public"),
		builtin("login", "password", `{"length":8}`, "password:local", "hash"),
		builtin("ca", "x509-ca", `{"commonName":"CA","days":9}`, "ca.key:local", "ca.crt:public"),
		needs(builtin("tls", "x509-leaf", `{"ca":"ca","commonName":"a.example","days":9}`, "tls.key", "tls.crt:public"), "ca"),
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
	w := newWorld(t, one(builtin("ssh", "ssh-key", `{"comment":""}`, "id_ed25519", "id_ed25519.pub:public")))
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

// A secret that a person has brought is used like one that was made here.
func TestBuiltinOfForeignSources(t *testing.T) {
	dir := t.TempDir()
	rsa := filepath.Join(dir, "rsa")
	tool(t, nil, "", "ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-N", "", "-C", "old", "-f", rsa)
	locked := filepath.Join(dir, "locked")
	tool(t, nil, "", "ssh-keygen", "-q", "-t", "ed25519", "-N", "canary", "-f", locked)
	read := func(name string) string {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	public, private, err := secrets.NewAgeKey()
	if err != nil {
		t.Fatal(err)
	}
	_, other, err := secrets.NewAgeKey()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		kind, settings, source, file, want, err string
	}{
		{kind: "ssh-key", settings: `{"comment":"old"}`, source: read(rsa), file: "id_ed25519.pub", want: read(rsa + ".pub")},
		{kind: "ssh-key", settings: `{}`, source: read(locked), err: "it is no private key of ssh, or one with a passphrase"},
		{kind: "ssh-key", settings: `{}`, source: "canary", err: "it is no private key of ssh"},
		{kind: "age-key", settings: `{}`, source: "# mine\n" + string(private) + "\n", file: "key.pub", want: public},
		{kind: "age-key", settings: `{}`, source: string(private) + "\n" + string(other), err: "it holds 2 keys of age"},
		{kind: "age-key", settings: `{}`, source: "", err: "it holds 0 keys of age"},
		{kind: "wireguard", settings: `{}`, source: "canary", err: "it is no private key of wireguard"},
		{kind: "wireguard", settings: `{}`, source: "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=\n", file: "publickey", want: "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo="},
		{kind: "password", settings: `{"length":8}`, source: "", err: "it is empty"},
		{kind: "password", settings: `{"length":8}`, source: "canary\nof two lines", err: "it holds a byte that nobody can type"},
		{kind: "password", settings: `{"length":8}`, source: strings.Repeat("canary", 13), err: "it is longer than the 72 bytes that count"},
		{kind: "password", settings: `{"length":8,"hash":"yescrypt"}`, source: strings.Repeat("canary", 86), err: "it is longer than the 511 bytes that count"},
		{kind: "x509-ca", settings: `{"commonName":"CA","days":1}`, source: "canary", err: "it is no private key in PEM"},
	} {
		files, err := makes(tt.kind, tt.settings, material{source: []byte(tt.source), now: midsummer})
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) || strings.Contains(err.Error(), "canary") {
				t.Errorf("%s of %q: got %v, want %q", tt.kind, tt.source, err, tt.err)
			}
			continue
		}
		if err != nil || string(files[tt.file]) != tt.want {
			t.Errorf("%s: %v, got %q of %v, want %q", tt.kind, err, files[tt.file], slices.Sorted(maps.Keys(files)), tt.want)
		}
	}
	files, err := makes("password", `{"length":8}`, material{source: []byte("päss wörd\n")})
	if err != nil || bcrypt.CompareHashAndPassword(files["hash"], []byte("päss wörd")) != nil {
		t.Errorf("%v: the hash is not that of what is typed", err)
	}
	for _, format := range [][]string{
		{"genpkey", "-algorithm", "ED25519"},
		{"ecparam", "-genkey", "-noout", "-name", "prime256v1"},
		{"genrsa", "-traditional", "2048"},
	} {
		key := tool(t, nil, "", append([]string{"openssl"}, format...)...)
		files, err := makes("x509-ca", `{"commonName":"CA","days":1}`, material{source: []byte(key), random: rand.Reader, now: midsummer})
		if err != nil {
			t.Errorf("%s: %v", format[0], err)
			continue
		}
		if _, err := tls.X509KeyPair(files["ca.crt"], []byte(key)); err != nil {
			t.Errorf("%s: %v", format[0], err)
		}
	}
}
