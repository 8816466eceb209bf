import { library, dom, config } from "@fortawesome/fontawesome-svg-core";
import { faArrowUp, faBars, faBook, faBug, faChevronRight, faChevronDown, faAngleDown, faAngleLeft, faAngleRight, faArrowRight, faCircleHalfStroke, faCode, faDownload, faExpand, faFile, faFilePdf, faHome, faLightbulb, faList, faMagnifyingGlass, faMoon, faPencilAlt, faRocket, faSun, faTriangleExclamation, faXmark, faPlay, faPrint } from "@fortawesome/free-solid-svg-icons";
import { faGithub } from "@fortawesome/free-brands-svg-icons";
library.add(faArrowUp, faBars, faBook, faBug, faChevronRight, faChevronDown, faAngleDown, faAngleLeft, faAngleRight, faArrowRight, faCircleHalfStroke, faCode, faDownload, faExpand, faFile, faFilePdf, faHome, faLightbulb, faList, faMagnifyingGlass, faMoon, faPencilAlt, faRocket, faSun, faTriangleExclamation, faXmark, faPlay, faPrint, faGithub);
dom.watch();
