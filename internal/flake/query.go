package flake

import (
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/crs58/fleet/internal/nix"
)

// queries are the Nix functions that read a flake: load, and what it uses for
// each flavour.
//
//go:embed query/*.nix
var queries embed.FS

// question is one evaluation of a flake.
type question struct {
	inventory, violations bool
	// machines are those whose details are wanted; nil stands for all.
	machines []string
	toplevel bool
	// Of the machines in order, every of-th from index on; of 0 is 1.
	index, of int
}

// answer is what an evaluation says. The details of a machine are nil if it
// does not evaluate.
type answer struct {
	Flavour    Flavour             `json:"flavour"`
	Inventory  json.RawMessage     `json:"inventory"`
	Violations []string            `json:"violations"`
	Details    map[string]*Details `json:"details"`
}

func (l *Loader) evaluate(ctx context.Context, fleet *Fleet, q question) (*answer, error) {
	var raw json.RawMessage
	err := l.Nix.Eval(ctx, nix.EvalRequest{Installable: fleet.Ref + "#.", Apply: q.apply(l.System), OnEvent: l.OnEvent}, &raw)
	if err != nil {
		return nil, err
	}
	var got answer
	if err := json.Unmarshal(raw, &got); err != nil {
		return nil, fmt.Errorf("the flake's core and this program do not fit together: %w", err)
	}
	return &got, nil
}

// apply is the function that is applied to the outputs of the flake.
func (q question) apply(system string) string {
	flavours := map[string]any{}
	for _, f := range []Flavour{Native, Clan, Plain} {
		flavours[string(f)] = nixText(queryText(string(f)))
	}
	args := map[string]any{
		"flavours": flavours, "adminSystem": system, "toplevel": q.toplevel,
		"inventory": q.inventory, "violations": q.violations, "machines": nil,
		// Alone and with nothing else to lose, a machine tells why it fails.
		"catch": q.inventory || len(q.machines) != 1,
		"index": q.index, "of": max(1, q.of),
	}
	if q.machines != nil {
		args["machines"] = q.machines
	}
	return queryText("load") + literal(args)
}

// queryText is the text of a query in parentheses.
func queryText(name string) string {
	text, err := queries.ReadFile("query/" + name + ".nix")
	if err != nil {
		panic(err) // it is part of the program
	}
	return "(" + string(text) + ") "
}

// nixText is Nix already.
type nixText string

// literal renders a value in Nix.
func literal(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case nixText:
		return string(v)
	case string:
		return quote(v)
	case bool:
		return strconv.FormatBool(v)
	case int:
		return strconv.Itoa(v)
	case []string:
		var b strings.Builder
		for _, s := range v {
			b.WriteString(quote(s) + " ")
		}
		return "[ " + b.String() + "]"
	case map[string]any:
		var b strings.Builder
		for _, name := range slices.Sorted(maps.Keys(v)) {
			fmt.Fprintf(&b, "%s = %s; ", name, literal(v[name]))
		}
		return "{ " + b.String() + "}"
	}
	panic(fmt.Sprintf("no Nix literal for %T", v))
}

// quote renders s as a Nix string.
func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "${", `\${`, "\n", `\n`, "\r", `\r`, "\t", `\t`).Replace(s) + `"`
}
