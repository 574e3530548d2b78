declare module "virtual:alarms" {
  import type { Paragraphs } from "@/pages/alarms/paragraphs";
  const alarms: Paragraphs;
  export default alarms;
}
