package flake

import "time"

// Health is fleet.health of a machine: what has to hold for a new system to stay.
type Health struct {
	Checks map[string]*HealthCheck `json:"checks,omitempty"`
	// FailedUnits is rollback or warn: what is done about units that fail anew.
	FailedUnits string `json:"failedUnits,omitempty"`
	// IgnoredUnits are patterns of units whose failure says nothing.
	IgnoredUnits []string `json:"ignoredUnits,omitempty"`
}

// HealthCheck is one check: of units, by a command, over HTTP or TCP.
type HealthCheck struct {
	Units   []string `json:"units,omitempty"`
	Command string   `json:"command,omitempty"`
	// HTTP is a URL, to be answered with one of Status (none is any of 200 to 299)
	// and a text that has Contains in it.
	HTTP     string `json:"http,omitempty"`
	Status   []int  `json:"status,omitempty"`
	Contains string `json:"contains,omitempty"`
	// TCP is HOST:PORT.
	TCP string `json:"tcp,omitempty"`
	// From is machine or driver: where HTTP and TCP are tried from.
	From string `json:"from,omitempty"`
	// Attempts is how often it is tried, Period the seconds between two tries,
	// Timeout the seconds that one may take.
	Attempts int `json:"attempts"`
	Period   int `json:"period"`
	Timeout  int `json:"timeout"`
}

// Longest is how long the check may take until it has failed.
func (c *HealthCheck) Longest() time.Duration {
	tries := max(1, c.Attempts)
	return time.Duration(tries*max(1, c.Timeout)+(tries-1)*c.Period) * time.Second
}

// Longest is how long the checks may take, side by side.
func (h *Health) Longest() time.Duration {
	longest := time.Duration(0)
	if h != nil {
		for _, c := range h.Checks {
			longest = max(longest, c.Longest())
		}
	}
	return longest
}
