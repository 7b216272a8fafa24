package secrets

import "strings"

const (
	maxName    = 128
	maxMachine = 63 // it is a host name
)

// checkName refuses a name that could not be one component of a path on every
// system, or that could mean another place.
func checkName(kind, name string) error {
	limit := maxName
	if kind == "machine" {
		limit = maxMachine
	}
	reason := ""
	switch {
	case name == "":
		reason = "it is empty"
	case len(name) > limit:
		reason = "it is too long"
	case name[0] == '.' || name[0] == '-':
		reason = "it begins with a dot or a dash"
	case strings.Contains(name, ".."):
		reason = "it contains two dots in a row"
	case strings.ContainsFunc(name, notInNames):
		reason = "only letters, digits and . _ - + @ = are possible"
	default:
		return nil
	}
	return &NameError{Kind: kind, Name: name, Reason: reason}
}

func notInNames(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
		return false
	}
	return !strings.ContainsRune("._-+@=", r)
}
