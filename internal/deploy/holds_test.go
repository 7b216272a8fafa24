package deploy

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseHoldings(t *testing.T) {
	files := []string{"/k", "/a=b", "/c"}
	got, err := parseHoldings(`Welcome!
uid=0
user=root
public=age1x
mode=600
digest=aa
file=/k
mode=440
digest=bb
file=/a=b
file=/c
`, files)
	want := Holdings{Public: []string{"age1x"}, Files: map[string]KeyFile{"/k": {Digest: "aa", Mode: 0o600}, "/a=b": {Digest: "bb", Mode: 0o440}}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(err, diff)
	}
	for text, want := range map[string]string{
		"":                                   "did not run the script",
		"this account is disabled\n":         "this account is disabled",
		"uid=0\nuser=root\nfile=/k\n":        "did not run the script to its end",
		"uid=7\nuser=joe\nfile=/k\n":         "as joe, but only root",
		"uid=0\nuser=root\nmode=9\nfile=/k":  `the mode "9"`,
		"uid=0\nuser=root\nfile=/c\nfile=/k": "to its end",
	} {
		if got, err := parseHoldings(text, files); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v; want %q", text, got, err, want)
		}
	}
}

func FuzzParseHoldings(f *testing.F) {
	f.Add("uid=0\nuser=root\npublic=age1x\nmode=600\ndigest=aa\nfile=/k\nfile=/c\n")
	f.Fuzz(func(t *testing.T, text string) {
		h, err := parseHoldings(text, []string{"/k", "/c"})
		if err == nil && (!strings.Contains(text, "file=/k") || !strings.Contains(text, "file=/c")) {
			t.Errorf("%q: %+v of files that it does not tell of", text, h)
		}
	})
}
