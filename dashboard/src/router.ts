// One page per route, loaded when it is first shown.
import { createRouter, createWebHistory, type Router, type RouteRecordRaw } from "vue-router";
import type { Role } from "@/client/claims";
import { idOf } from "@/client/links";
import { visible } from "@/client/visible";
import { useAuth } from "@/stores/auth";
import { useRelease } from "@/stores/release";

declare module "vue-router" {
  interface RouteMeta {
    readonly title?: string;
    /** Who may use it; left out: everybody. */
    readonly needs?: Role;
    /** Whether it shows the whole service, which a project's token may not see. */
    readonly isWhole?: boolean;
    /** Whether loading it anew loses nothing: all that somebody chose is in its address. */
    readonly isInAddress?: boolean;
    /** Name of its icon in the navigation; left out: it is not there. */
    readonly icon?: string;
  }
}

export const routes: readonly RouteRecordRaw[] = [
  {
    path: "/",
    name: "fleet",
    component: () => import("@/pages/fleet/FleetPage.vue"),
    meta: { title: "Fleet", needs: "viewer", icon: "fleet", isInAddress: true },
  },
  {
    path: "/sessions/:id",
    name: "session",
    component: () => import("@/pages/session/SessionPage.vue"),
    meta: { title: "Session", needs: "viewer" },
  },
  {
    path: "/archive",
    name: "archive",
    component: () => import("@/pages/archive/ArchivePage.vue"),
    meta: { title: "Archive", needs: "viewer", icon: "archive" },
  },
  {
    path: "/nodes",
    name: "nodes",
    component: () => import("@/pages/nodes/NodesPage.vue"),
    meta: { title: "Nodes", needs: "viewer", isWhole: true, icon: "nodes", isInAddress: true },
  },
  {
    path: "/jobs",
    name: "jobs",
    component: () => import("@/pages/jobs/JobsPage.vue"),
    meta: { title: "Jobs", needs: "admin", isWhole: true, icon: "jobs", isInAddress: true },
  },
  {
    path: "/alarms",
    name: "alarms",
    component: () => import("@/pages/alarms/AlarmsPage.vue"),
    meta: { title: "Alarms", needs: "viewer", isWhole: true, icon: "alarms", isInAddress: true },
  },
  {
    path: "/tail",
    name: "tail",
    component: () => import("@/pages/tail/TailPage.vue"),
    meta: { title: "Live tail", needs: "viewer", icon: "tail" },
  },
  { path: "/login", name: "login", component: () => import("@/pages/login/LoginPage.vue"), meta: { title: "Sign in" } },
  {
    path: "/:path(.*)*",
    name: "unknown",
    component: () => import("@/pages/UnknownPage.vue"),
    meta: { title: "No such page" },
  },
];

export function makeRouter(): Router {
  const router = createRouter({ history: createWebHistory("/dashboard/"), routes: [...routes] });
  router.beforeEach((to) => {
    const auth = useAuth();
    if (to.name !== "login" && auth.refusal !== undefined && auth.token === undefined) {
      return { name: "login", query: { then: to.fullPath } };
    }
    const { needs, isWhole } = to.meta;
    if (needs === undefined || auth.may(needs, isWhole === true ? "all" : "some")) return true;
    return { name: "unknown", params: { path: to.path.slice(1).split("/") }, query: to.query, hash: to.hash };
  });
  router.onError((_error, to) => void useRelease().failed(to.fullPath));
  router.afterEach((to, _from, failure) => {
    if (failure !== undefined) return; // we are where we were
    useRelease().forget();
    const id = to.name === "session" ? visible(idOf(to.params["id"])) : undefined;
    document.title = `${id ?? to.meta.title ?? ""} · Muster`;
  });
  return router;
}
