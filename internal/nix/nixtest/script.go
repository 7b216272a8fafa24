package nixtest

import (
	"context"
	_ "embed"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/crs58/fleet/internal/nix"
)

// Script is a derivation of a script; it is not built yet.
type Script struct{ DrvPath, OutPath string }

//go:embed script.nix
var scriptNix string

var scripts = struct {
	sync.Mutex
	known map[string]Script // by its text
}{known: map[string]Script{}}

// Scripts puts the derivations of bash scripts, with busybox in their PATH, into
// the Nix store, all that are new by one evaluation.
func Scripts(t testing.TB, texts ...string) []Script {
	t.Helper()
	scripts.Lock()
	defer scripts.Unlock()
	var fresh []string
	for _, text := range texts {
		if _, ok := scripts.known[text]; !ok {
			fresh = append(fresh, text)
		}
	}
	if len(fresh) > 0 {
		var made []Script
		request := nix.EvalRequest{Expr: scriptNix, Apply: "f: f " + list(fresh), Args: []string{"--impure"}}
		if err := nix.New(nix.Options{Env: Env(t)}).Eval(context.Background(), request, &made); err != nil {
			t.Fatal(err)
		}
		for i, text := range fresh {
			scripts.known[text] = made[i]
		}
	}
	all := make([]Script, len(texts))
	for i, text := range texts {
		all[i] = scripts.known[text]
	}
	return all
}

// list writes a list of strings in Nix.
func list(texts []string) string {
	escapes := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "${", `\${`, "\n", `\n`)
	var b strings.Builder
	for _, text := range texts {
		fmt.Fprintf(&b, ` "%s"`, escapes.Replace(text))
	}
	return "[" + b.String() + " ]"
}
