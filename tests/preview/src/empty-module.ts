// Stands in for modules that no panel needs.
export default {};
export const loader = { config() {}, init: async () => ({}) };
export const languages = {};
export const editor = {};
