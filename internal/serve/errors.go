package serve

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"baleen/internal/engine"
)

// apiError is a refusal as the wire forms tell it.
type apiError struct {
	status  int
	kind    string // of the OpenAI form: invalid_request_error, server_error ...; empty: what the status usually means
	code    string // for programs, such as context_length_exceeded; may be empty
	param   string // the field at fault; may be empty
	message string // WHAT: WHERE: HOW TO MEND, one line
}

func (e *apiError) Error() string { return e.message }

// refuse is a 400 for a field.
func refuse(param, format string, args ...any) *apiError {
	return &apiError{status: http.StatusBadRequest, param: param, message: fmt.Sprintf(format, args...)}
}

// fail answers with an error, in the shape of the API that the path belongs to.
func fail(w http.ResponseWriter, r *http.Request, e *apiError) {
	tellWhen(w.Header(), e.status)
	writeJSON(w, e.status, errorBody(r.URL.Path, e))
}

// tellWhen tells a client that may try again later when.
func tellWhen(h http.Header, status int) {
	if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
		h.Set("Retry-After", "1")
	}
}

// errorBody is the body of an error in the shape of the API that the path belongs to.
func errorBody(path string, e *apiError) any {
	if isAnthropic(path) {
		return anthropicError(e)
	}
	return openaiError(e)
}

// isAnthropic tells which paths speak the Anthropic form.
func isAnthropic(path string) bool {
	return strings.HasPrefix(path, "/anthropic") || strings.HasPrefix(path, "/v1/messages")
}

// openaiError is the body of an error of the OpenAI forms (formats spec 5.1). Absent fields are null there, not missing.
func openaiError(e *apiError) any {
	type inner struct {
		Message string  `json:"message"`
		Type    string  `json:"type"`
		Param   *string `json:"param"`
		Code    *string `json:"code"`
	}
	kind := e.kind
	if kind == "" {
		kind = openaiKind(e.status)
	}
	return struct {
		Error inner `json:"error"`
	}{inner{e.message, kind, orNull(e.param), orNull(e.code)}}
}

func openaiKind(status int) string {
	switch {
	case status == http.StatusUnauthorized:
		return "authentication_error"
	case status == http.StatusTooManyRequests:
		return "rate_limit_error"
	case status >= 500:
		return "server_error"
	}
	return "invalid_request_error"
}

// anthropicError is the body of an error of the Anthropic form, and the data of its event (formats spec 5.2).
func anthropicError(e *apiError) any {
	type inner struct {
		Type    string `json:"type"`
		Message string `json:"message"`
	}
	return struct {
		Type  string `json:"type"`
		Error inner  `json:"error"`
	}{"error", inner{anthropicKind(e.status), e.message}}
}

func anthropicKind(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return "authentication_error"
	case http.StatusForbidden:
		return "permission_error"
	case http.StatusNotFound:
		return "not_found_error"
	case http.StatusRequestEntityTooLarge:
		return "request_too_large"
	case http.StatusTooManyRequests:
		return "rate_limit_error"
	case http.StatusServiceUnavailable:
		return "overloaded_error"
	}
	if status >= 500 {
		return "api_error"
	}
	return "invalid_request_error"
}

func orNull(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// submitError tells why the engine did not take a request. What it says of one is about its prompt, in the field param: the
// rest was looked at before.
func submitError(err error, param string) *apiError {
	switch {
	case errors.Is(err, engine.ErrBusy):
		return &apiError{status: http.StatusTooManyRequests, code: "queue_full", message: err.Error()}
	case errors.Is(err, engine.ErrClosed):
		return shuttingDown()
	}
	return refuse(param, "%s", oneLine(err.Error()))
}

func shuttingDown() *apiError {
	return &apiError{status: http.StatusServiceUnavailable, code: "shutting_down", message: "shutting down: the server: ask another one, or later"}
}

// engineError tells why an answer was not completed.
func engineError(err error) *apiError {
	if errors.Is(err, engine.ErrClosed) {
		return shuttingDown()
	}
	return &apiError{status: http.StatusInternalServerError, code: "engine_failed", message: oneLine(err.Error())}
}

// writeJSON answers with a value. Text is written as it is, without the escapes that only HTML needs.
func writeJSON(w http.ResponseWriter, status int, value any) {
	body := appendJSON(nil, value)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // a client that is gone needs no answer
}

// appendJSON appends the JSON of a value of this package, all of which have one.
func appendJSON(dst []byte, value any) []byte {
	var text strings.Builder
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		panic(fmt.Sprintf("serve: no JSON for %T: %v", value, err)) // a fault of this package: NaN is kept out of values
	}
	return append(dst, strings.TrimSuffix(text.String(), "\n")...)
}
