package cli

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Every phase and state that an event can have is in its schema, and no other.
func TestEventSchema(t *testing.T) {
	text, err := os.ReadFile("schema/machines-run.json")
	if err != nil {
		t.Fatal(err)
	}
	var schema struct {
		Defs map[string]struct{ Enum []string } `json:"$defs"`
	}
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	file, err := parser.ParseFile(token.NewFileSet(), "../deploy/event.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	constants := map[string][]string{}
	for node := range ast.Preorder(file) {
		spec, ok := node.(*ast.ValueSpec)
		if !ok || spec.Type == nil {
			continue
		}
		value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		kind := spec.Type.(*ast.Ident).Name
		constants[kind] = append(constants[kind], value)
	}
	for kind, name := range map[string]string{"Phase": "phase", "State": "state"} {
		if diff := cmp.Diff(constants[kind], schema.Defs[name].Enum); diff != "" || len(constants[kind]) == 0 {
			t.Errorf("the %ss of the schema are not those of package deploy: %s", name, diff)
		}
	}
}
