package term

import (
	"errors"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
)

func TestTable(t *testing.T) {
	for name, tt := range map[string]struct {
		table Table
		want  string
	}{
		"columns":       {Table{Header: []string{"NAME", "STATE"}, Rows: [][]string{{"a", "done"}, {"longer", ""}}}, "NAME    STATE\na       done\nlonger\n"},
		"no rows":       {Table{Header: []string{"NAME", "STATE"}}, "NAME  STATE\n"},
		"wide letters":  {Table{Header: []string{"NAME", "STATE"}, Rows: [][]string{{"世界世", "x"}, {"é", "y"}}}, "NAME    STATE\n世界世  x\né       y\n"},
		"foreign text":  {Table{Header: []string{"A", "B"}, Rows: [][]string{{"x\x1b[31m\ny", "z"}}}, "A        B\nx[31m y  z\n"},
		"paint, unwide": {Table{Header: []string{"A", "B"}, Rows: [][]string{{"x", "z"}}, Paint: func(_ int, s string) string { return "<" + s + ">" }}, "A  B\n<x>  <z>\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var b strings.Builder
			if err := tt.table.Write(&b); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, b.String()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Talk may name what a machine named: nothing in it moves the cursor, sets a
// title or rings.
func TestTalkIsClean(t *testing.T) {
	const foreign = "\x1b]0;title\a\u009b31m\rone\ntwo"
	for name, say := range map[string]func(*Streams){
		"say":     func(s *Streams) { s.Say("unit %s", foreign) },
		"murmur":  func(s *Streams) { s.Murmur("unit %s", foreign) },
		"warn":    func(s *Streams) { s.Warn("unit %s", foreign) },
		"problem": func(s *Streams) { s.Problem(errors.New("unit " + foreign)) },
	} {
		var b strings.Builder
		say(&Streams{Err: &b})
		if got := b.String(); !strings.HasSuffix(got, "unit ]0;title31mone\ntwo\n") {
			t.Errorf("%s prints %q", name, got)
		}
	}
}

func FuzzClean(f *testing.F) {
	for _, seed := range []string{"plain", "\x1b]0;title\a", "a\r\nb", "\u009b31m", "\xff\xfe", "tab\there"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := Clean(s)
		if strings.ContainsFunc(got, unicode.IsControl) {
			t.Errorf("%q keeps a control character: %q", s, got)
		}
		if Clean(got) != got {
			t.Errorf("%q is not clean after one pass", s)
		}
	})
}
