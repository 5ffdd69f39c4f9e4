package announcer

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
)

// target is a tracker's URL, taken apart.
type target struct {
	url    string
	scheme string // http, https or udp
	host   string // name or address, without brackets
	port   string
	text   string // path and query, the BEP 41 option of a UDP announce
	err    error  // why it cannot be used
}

var (
	errScheme = errors.New("only http, https and udp trackers are spoken to")
	errPort   = errors.New("the URL needs a host and, for udp, a port from 1 to 65535")
)

// maxURL bounds a tracker's URL.
const maxURL = 2048

func parseTarget(raw string) target {
	t := target{url: raw}
	if len(raw) > maxURL {
		t.err = fmt.Errorf("the URL has %d bytes, at most %d are used", len(raw), maxURL)
		return t
	}
	u, err := url.Parse(raw)
	if err != nil {
		t.err = fmt.Errorf("not a URL: %w", err)
		return t
	}
	t.scheme, t.host, t.port = u.Scheme, u.Hostname(), u.Port()
	switch t.scheme {
	case "http":
		t.port = orDefault(t.port, "80")
	case "https":
		t.port = orDefault(t.port, "443")
	case "udp":
		if t.text = u.EscapedPath(); u.RawQuery != "" {
			t.text += "?" + u.RawQuery
		}
	default:
		t.err = errScheme
		return t
	}
	if n, err := strconv.ParseUint(t.port, 10, 16); err != nil || n == 0 || t.host == "" {
		t.err = errPort
	}
	return t
}

func orDefault(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
