// Serves the webhook handler of argocd-image-updater: responds with the event that it makes of a request, or with 400.
package main

import (
	"encoding/json"
	"net/http"
	"os"

	"github.com/argoproj-labs/argocd-image-updater/pkg/webhook"
)

func main() {
	handler := webhook.NewWebhookHandler()
	handler.RegisterHandler(webhook.NewCloudEventsWebhook("secret"))
	http.HandleFunc("/webhook", func(response http.ResponseWriter, request *http.Request) {
		event, err := handler.ProcessWebhook(request)
		if err != nil {
			http.Error(response, err.Error(), http.StatusBadRequest)
			return
		}
		_ = json.NewEncoder(response).Encode(event)
	})
	if err := http.ListenAndServe("127.0.0.1:"+os.Args[1], nil); err != nil {
		panic(err)
	}
}
