package nix

import (
	"regexp"
	"strconv"
	"strings"
)

// Forecast is what a build would do, as Nix says in a dry run.
type Forecast struct {
	// Build are the derivations that would be built, Fetch the paths that would
	// come from a cache, both in Nix's order.
	Build []string `json:"build"`
	Fetch []string `json:"fetch"`
	// Download is about how many bytes would be fetched.
	Download int64 `json:"download"`

	list *[]string // what the next lines are of
}

var fetchHeading = regexp.MustCompile(`paths? will be fetched(?: \(([0-9.]+) ([KMGT]iB) download)?`)

// Note takes in an event of the dry run. Nix prints each line of its lists as a
// message of its own.
func (f *Forecast) Note(e Event) {
	if e.Kind != Message {
		return
	}
	for line := range strings.SplitSeq(e.Text, "\n") {
		switch path := strings.TrimSpace(line); {
		case strings.Contains(line, " will be built"):
			f.list = &f.Build
		case fetchHeading.MatchString(line):
			f.list = &f.Fetch
			m := fetchHeading.FindStringSubmatch(line)
			f.Download += bytesOf(m[1], m[2])
		case f.list != nil && strings.HasPrefix(line, " ") && strings.HasPrefix(path, "/"):
			*f.list = append(*f.list, path)
		default:
			f.list = nil
		}
	}
}

func bytesOf(number, unit string) int64 {
	n, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return 0
	}
	return int64(n * map[string]float64{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}[unit])
}
