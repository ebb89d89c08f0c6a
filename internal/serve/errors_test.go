package serve

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestRefusals: what is wrong is a 400 that names the field, in each form's own shape.
func TestRefusals(t *testing.T) {
	r := newRig(t, nil)
	user := `"messages":[{"role":"user","content":"hi"}]`
	tool := `"tools":[{"type":"function","function":{"name":"f"}}]`
	for _, c := range []struct{ path, body, param string }{
		{"/v1/chat/completions", `{` + user + `,"temperature":2.5}`, "temperature"},
		{"/v1/chat/completions", `{` + user + `,"temperature":"1"}`, "temperature"},
		{"/v1/chat/completions", `{` + user + `,"temperature":-0.1}`, "temperature"},
		{"/v1/chat/completions", `{` + user + `,"top_p":1.5}`, "top_p"},
		{"/v1/chat/completions", `{` + user + `,"max_tokens":-1}`, "max_tokens"},
		{"/v1/chat/completions", `{` + user + `,"max_tokens":0}`, "max_tokens"},
		{"/v1/chat/completions", `{` + user + `,"max_completion_tokens":1.5}`, "max_completion_tokens"},
		{"/v1/chat/completions", `{` + user + `,"n":0}`, "n"},
		{"/v1/chat/completions", `{` + user + `,"n":129}`, "n"},
		{"/v1/chat/completions", `{` + user + `,"stream":"yes"}`, "stream"},
		{"/v1/chat/completions", `{` + user + `,"stop":["1","2","3","4","5","6","7","8","9","10","11","12","13","14","15","16","17"]}`, "stop"},
		{"/v1/chat/completions", `{` + user + `,"stop":[""]}`, "stop"},
		{"/v1/chat/completions", `{` + user + `,"stop":[1]}`, "stop[0]"},
		{"/v1/chat/completions", `{` + user + `,"presence_penalty":3}`, "presence_penalty"},
		{"/v1/chat/completions", `{` + user + `,"logit_bias":{"5":101}}`, "logit_bias.5"},
		{"/v1/chat/completions", `{` + user + `,"logit_bias":{"99999999":1}}`, "logit_bias"},
		{"/v1/chat/completions", `{` + user + `,"top_logprobs":3}`, "top_logprobs"},
		{"/v1/chat/completions", `{` + user + `,"logprobs":true,"top_logprobs":21}`, "top_logprobs"},
		{"/v1/chat/completions", `{` + user + `,"reasoning_effort":"off"}`, "reasoning_effort"},
		{"/v1/chat/completions", `{` + user + `,"thinking":{"type":"maybe"}}`, "thinking.type"},
		{"/v1/chat/completions", `{` + user + `,"tool_choice":"required"}`, "tool_choice"},
		{"/v1/chat/completions", `{` + user + `,` + tool + `,"tool_choice":{"type":"function","function":{"name":"g"}}}`, "tool_choice"},
		{"/v1/chat/completions", `{` + user + `,"tools":[{"type":"function","function":{}}]}`, "tools[0].function.name"},
		{"/v1/chat/completions", `{` + user + `,"tools":[{"type":"function","function":{"name":"a\"b"}}]}`, "tools[0].function.name"},
		{"/v1/chat/completions", `{` + user + `,"tools":[{"type":"function","function":{"name":"f","parameters":[]}}]}`, "tools[0].function.parameters"},
		{"/v1/chat/completions", `{` + user + `,"response_format":{"type":"xml"}}`, "response_format.type"},
		{"/v1/chat/completions", `{` + user + `,"response_format":{"type":"json_schema"}}`, "response_format.json_schema.schema"},
		{"/v1/chat/completions", `{"messages":[{"role":"king","content":"hi"}]}`, "messages[0].role"},
		{"/v1/chat/completions", `{"messages":[{"content":"hi"}]}`, "messages[0].role"},
		{"/v1/chat/completions", `{"messages":[{"role":"user","content":5}]}`, "messages[0].content"},
		{"/v1/chat/completions", `{"messages":[{"role":"user","content":[{"type":"text","text":"x"},{"type":"image_url","image_url":{"url":"u"}}]}]}`, "messages[0].content[1].type"},
		{"/v1/chat/completions", `{"messages":[1]}`, "messages[0]"},
		{"/v1/chat/completions", `{"messages":[]}`, "messages"},
		{"/v1/chat/completions", `{"messages":{}}`, "messages"},
		{"/v1/chat/completions", `{}`, "messages"},
		{"/v1/chat/completions", `[]`, ""},
		{"/v1/chat/completions", `null`, ""},
		{"/v1/chat/completions", ``, ""},
		{"/v1/chat/completions", `{"messages"`, ""},
		{"/v1/chat/completions", `{"x":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + `}`, ""},
		{"/v1/chat/completions", `{"messages":[{"role":"user","content":"` + strings.Repeat("word and ", demoContext) + `"}]}`, "messages"},
		{"/v1/completions", `{"prompt":{}}`, "prompt"},
		{"/v1/completions", `{"prompt":[]}`, "prompt"},
		{"/v1/completions", `{"prompt":["a",[1]],"best_of":3}`, "best_of"},
		{"/v1/completions", `{"prompt":["a",true]}`, "prompt[1]"},
		{"/v1/completions", `{"prompt":[1,99999]}`, "prompt"},
		{"/v1/completions", `{"prompt":"a","echo":true,"logprobs":1}`, "echo"},
		{"/v1/completions", `{"prompt":"a","logprobs":21}`, "logprobs"},
		{"/v1/completions", `{"prompt":["a","b"],"n":9}`, "n"},
		{"/v1/completions", `{"prompt":"a","max_tokens":0}`, "max_tokens"},
		{"/v1/responses", `{"input":"x","previous_response_id":"resp_1"}`, "previous_response_id"},
		{"/v1/responses", `{"input":"x","background":true}`, "background"},
		{"/v1/responses", `{"input":[{"type":"item_reference","id":"x"}]}`, "input[0].type"},
		{"/v1/responses", `{"input":[{"role":"user","content":[{"type":"input_image"}]}]}`, "input[0].content[0].type"},
		{"/v1/responses", `{"input":[{"role":"tool","content":"x"}]}`, "input[0].role"},
		{"/v1/responses", `{"input":5}`, "input"},
		{"/v1/responses", `{"input":"x","temperature":3}`, "temperature"},
		{"/v1/messages", `{` + user + `}`, "max_tokens"},
		{"/v1/messages", `{` + user + `,"max_tokens":-5}`, "max_tokens"},
		{"/v1/messages", `{"max_tokens":5,"messages":[{"role":"user","content":[{"type":"image","source":{}}]}]}`, "messages[0].content[0].type"},
		{"/v1/messages", `{"max_tokens":5,"messages":[{"role":"tool","content":"x"}]}`, "messages[0].role"},
		{"/v1/messages", `{` + user + `,"max_tokens":5,"tool_choice":{"type":"tool","name":"x"}}`, "tool_choice"},
		{"/v1/messages", `{` + user + `,"max_tokens":5,"tools":[{"name":"x","input_schema":5}]}`, "tools[0].input_schema"},
		{"/v1/messages/count_tokens", `{"messages":[]}`, "messages"},
	} {
		status, text := r.post(c.path, c.body)
		var b struct {
			Type  string
			Error struct{ Message, Type, Param, Code string }
		}
		if err := json.Unmarshal([]byte(text), &b); err != nil || status != http.StatusBadRequest || b.Error.Type != "invalid_request_error" || strings.Contains(b.Error.Message, "\n") {
			t.Errorf("%s %.200s: %d %s", c.path, c.body, status, text)
			continue
		}
		if anthropic := strings.Contains(c.path, "messages"); anthropic != (b.Type == "error") {
			t.Errorf("%s: the shape of another API: %s", c.path, text)
		} else if anthropic && !strings.Contains(b.Error.Message, c.param) || !anthropic && b.Error.Param != c.param {
			t.Errorf("%s %.200s: expected %q to be named: %s", c.path, c.body, c.param, text)
		}
	}
}

// TestOverflow: agents find the words and the code that tell them to shorten their history.
func TestOverflow(t *testing.T) {
	r := newRig(t, nil)
	long := strings.Repeat("word and ", demoContext)
	for path, body := range map[string]string{
		"/v1/chat/completions": `{"messages":[{"role":"user","content":%q}]}`,
		"/v1/responses":        `{"input":%q}`,
		"/v1/completions":      `{"prompt":%q}`,
		"/v1/messages":         `{"max_tokens":9,"messages":[{"role":"user","content":%q}]}`,
	} {
		status, text := r.post(path, fmt.Sprintf(body, long))
		if status != http.StatusBadRequest || !strings.Contains(text, "maximum context length") || !strings.Contains(path, "messages") && !strings.Contains(text, `"code":"context_length_exceeded"`) {
			t.Errorf("%s: %d %s", path, status, text)
		}
	}
	if status, text := r.post("/v1/messages/count_tokens", fmt.Sprintf(`{"messages":[{"role":"user","content":%q}]}`, long)); status != http.StatusOK {
		t.Errorf("what is too long can still be counted: %d %s", status, text)
	}
}

// TestHarmless: what other servers ignore is ignored here.
func TestHarmless(t *testing.T) {
	r := newRig(t, nil)
	for _, c := range []struct{ path, body string }{
		{"/v1/chat/completions", `{"messages":[{"role":"user","content":"hi","name":"n"}],"max_tokens":1,"user":"u","stop":null,"tools":null,"temperature":null,"metadata":{},"stream_options":null,"service_tier":"auto","functions":[],"modalities":["text"]}`},
		{"/v1/chat/completions", `{"messages":[],"messages":[{"role":"user","content":"hi"}],"max_tokens":5,"max_tokens":1}`},
		{"/v1/chat/completions", `{"messages":[{"role":"system","content":"only"}],"max_tokens":1.0}`},
		{"/v1/chat/completions", `{"messages":[{"role":"developer","content":"d"},{"role":"user","content":"hi"},{"role":"assistant","content":null,"tool_calls":[{"id":"x","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"x","content":[{"type":"text","text":"r"}]}],"max_tokens":1}`},
		{"/v1/chat/completions", `{"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"I am","prefix":true}],"max_tokens":1,"logit_bias":{},"seed":-5,"top_k":-1,"top_p":0,"min_p":0.1}`},
		{"/v1/completions", `{"prompt":[5,6,7],"max_tokens":1}`},
		{"/v1/completions", `{"max_tokens":1}`},
		{"/v1/messages", `{"max_tokens":1,"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"I"}],"container":null,"mcp_servers":[],"service_tier":"auto","top_k":5}`},
		{"/v1/responses", `{"input":[{"type":"web_search_call"},{"role":"user","content":"hi"}],"max_output_tokens":1,"store":true,"truncation":"auto","previous_response_id":null}`},
		{"/v1/responses", `{"input":"hi","tools":[{"type":"function","name":"f"},{"type":"web_search"}],"tool_choice":{"type":"allowed_tools","mode":"auto","tools":[{"type":"function","name":"f"},{"type":"web_search"}]},"max_output_tokens":1}`},
	} {
		if status, text := r.post(c.path, c.body); status != http.StatusOK {
			t.Errorf("%s %s: %d %s", c.path, c.body, status, text)
		}
	}
}

func TestModels(t *testing.T) {
	r := newRig(t, nil)
	for _, path := range []string{"/v1/models", "/models", "/anthropic/v1/models"} {
		response, err := http.Get(r.http.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		var b struct {
			Object string
			Data   []model
			Models []any
		}
		err = json.NewDecoder(response.Body).Decode(&b)
		response.Body.Close()
		if err != nil || len(b.Data) != 1 || b.Data[0].ID != "demo" || b.Models == nil || b.Object != "list" {
			t.Errorf("%s: %+v %v", path, b, err)
		}
	}
	response, err := http.Get(r.http.URL + "/v1/models/deepseek-ai/any")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var m model
	if err := json.NewDecoder(response.Body).Decode(&m); err != nil || m.ID != "deepseek-ai/any" {
		t.Errorf("%+v %v", m, err)
	}
}

// TestNothingHere: paths that are not served are 404 in the shape of their API.
func TestNothingHere(t *testing.T) {
	r := newRig(t, nil)
	for _, path := range []string{"/v1/embeddings", "/anthropic/v1/none", "/v1/chat", "/user/balance"} {
		if status, text := r.post(path, `{}`); status != http.StatusNotFound || !json.Valid([]byte(text)) {
			t.Errorf("%s: %d %s", path, status, text)
		}
	}
}

// TestWrongMethods: what is served, but not with this method, is 405 in the shape of its API, and says which it is.
func TestWrongMethods(t *testing.T) {
	r := newRig(t, nil)
	for path, allow := range map[string]string{
		"/v1/chat/completions": "POST", "/beta/completions": "POST", "/v1/responses": "POST", "/v1/messages": "POST", "/anthropic/v1/messages/count_tokens": "POST",
		"/v1/models": "GET, HEAD", "/v1/models/any/name": "GET, HEAD", "/healthz": "GET, HEAD", "/metrics": "GET, HEAD", "/": "GET, HEAD",
	} {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"} {
			if strings.Contains(allow, method) {
				continue
			}
			request, err := http.NewRequest(method, r.http.URL+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			text, _ := io.ReadAll(response.Body)
			response.Body.Close()
			shape := map[bool]string{true: `{"type":"error","error":{"type":"invalid_request_error",`, false: `{"error":{"message":`}[strings.Contains(path, "messages")]
			if response.StatusCode != http.StatusMethodNotAllowed || response.Header.Get("Allow") != allow || method != "HEAD" && !strings.HasPrefix(string(text), shape) {
				t.Errorf("%s %s: %d, allowed %q: %s", method, path, response.StatusCode, response.Header.Get("Allow"), text)
			}
		}
	}
}
