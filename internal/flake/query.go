package flake

import (
	"embed"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// queries are the Nix functions that are applied to the outputs of a flake: of
// an attribute set of arguments, then of the output.
//
//go:embed query/*.nix
var queries embed.FS

// query is the text of a query with its arguments, for `nix eval --apply`.
func query(name string, args map[string]any) string {
	text, err := queries.ReadFile("query/" + name + ".nix")
	if err != nil {
		panic(err) // it is part of the program
	}
	return "(" + string(text) + ") " + literal(args)
}

// literal renders a value in Nix.
func literal(v any) string {
	switch v := v.(type) {
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
