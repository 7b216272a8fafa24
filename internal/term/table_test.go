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
		width int // of the terminal; 0 where there is none
	}{
		"columns":       {table: Table{Header: []string{"NAME", "STATE"}, Rows: [][]string{{"a", "done"}, {"longer", ""}}}, want: "NAME    STATE\na       done\nlonger\n"},
		"no rows":       {table: Table{Header: []string{"NAME", "STATE"}}, want: "NAME  STATE\n"},
		"wide letters":  {table: Table{Header: []string{"NAME", "STATE"}, Rows: [][]string{{"世界世", "x"}, {"é", "y"}}}, want: "NAME    STATE\n世界世  x\né       y\n"},
		"foreign text":  {table: Table{Header: []string{"A", "B"}, Rows: [][]string{{"x\x1b[31m\ny", "z"}}}, want: "A        B\nx[31m y  z\n"},
		"paint, unwide": {table: Table{Header: []string{"A", "B"}, Rows: [][]string{{"x", "z"}}, Paint: func(_ int, s string) string { return "<" + s + ">" }}, want: "A  B\n<x>  <z>\n"},
		"just wide enough": {
			table: Table{Header: []string{"NAME", "WHY"}, Rows: [][]string{{"one", "it is so"}}}, width: 15,
			want: "NAME  WHY\none   it is so\n",
		},
		"the last column in lines": {
			table: Table{Header: []string{"NAME", "WHY"}, Rows: [][]string{{"one", "it cannot be reached, for it is away"}, {"two", ""}}}, width: 30,
			want: "NAME  WHY\none   it cannot be reached,\n      for it is away\ntwo\n",
		},
		"columns that do not fit": {
			table: Table{Header: []string{"NAME", "TARGET", "STATE", "AGE", "WHY"}, Rows: [][]string{
				{"one", "ssh://root@one.example.org", "done", "3d", ""}, {"two", "ssh://two", "never deployed", "–", "who knows why that is, or what it is for"},
			}}, width: 36,
			want: "NAME  TARGET\n  STATE           AGE\n  WHY\none   ssh://root@one.example.org\n  done            3d\n" +
				"two   ssh://two\n  never deployed  –\n  who knows why that is, or what it\n  is for\n",
		},
		"text in the middle": {
			table: Table{Header: []string{"NAME", "WHY", "NEXT"}, Rows: [][]string{{"one", "it cannot be reached, for it is away", "go"}}}, width: 24,
			want: "NAME\n  WHY\n  NEXT\none\n  it cannot be reached,\n  for it is away\n  go\n",
		},
		"a column with nothing in it": {
			table: Table{Header: []string{"NAME", "STATE", "NOTES"}, Rows: [][]string{{"one", "done", ""}}}, width: 15,
			want: "NAME  STATE\none   done\n",
		},
		"a word wider than the terminal": {
			table: Table{Header: []string{"NAME", "SYSTEM"}, Rows: [][]string{{"one", "go to /nix/store/abcdefghijklmnopqrstuvwxyz-system now"}}}, width: 30,
			want: "NAME\n  SYSTEM\none\n  go to\n  /nix/store/abcdefghijklmnopqrstuvwxyz-system\n  now\n",
		},
		"paint of what is broken": {
			table: Table{Header: []string{"NAME", "WHY"}, Rows: [][]string{{"one", "it cannot be reached"}}, Paint: func(_ int, s string) string { return "<" + s + ">" }}, width: 20,
			want: "NAME\n  WHY\n<one>\n  <it cannot be>\n<  reached>\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			var b strings.Builder
			if err := tt.table.write(&b, tt.width); err != nil {
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
