import { createPinia } from "pinia";
import { createApp } from "vue";
import App from "./App.vue";
import { reloadOnce } from "./client/reload";
import { makeRouter } from "./router";
import "./styles/tokens.css";
import "./styles/base.css";

// A page of another version than the node's now, as after an upgrade: there is a new one to be had.
addEventListener("vite:preloadError", (event) => {
  event.preventDefault();
  reloadOnce();
});

const app = createApp(App);
app.use(createPinia());
app.use(makeRouter()); // asks the stores who may go where
app.mount("#app");
